"""HotSetSelector: chooses the hot rows anew, between mini-batches."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.lib.pipelines import stage, sum_tree
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import CLOSE_HIGH, EVENT_VALID, SLOT_FIELD

from .layouts import Eligible, first_set, state_beat

__all__ = ["HotSetSelector"]


class HotSetSelector(wiring.Component):
    """Carries out SELECT. `hotline_sim.model.sample_aware` defines what it chooses.

        idle, recent  two walks: how many entries are hot but not referenced, cold but referenced?
        threshold   bit by bit from the top: how many entries reach it? One walk over the sets for each counter bit.
        wanting     one walk: how many cold entries reach the threshold?
        demote      a walk until enough hot entries have fallen behind; their slots go into a FIFO.
        promote     a walk until the slots are used up; every row that becomes hot is an event.

    All banks read the same set at a time. The walks that count take a cycle a set. What goes to the banks counts there
    a cycle later.

    Ports:
        start: Pulse. SELECT begins. The core must be idle.
        running: SELECT is being carried out.
        done: Pulse. SELECT has ended.
        hot_rows, set_mask: The budget.
        hysteresis, move_limit, select_start: Register values, as in `regmap`.
        clear: Nothing is hot any more; `hot_count` says so two cycles later. `start` and `restored` come no earlier.
        restored: So many entries of a restored set are hot.
        hot_count, threshold: Register values.
        promoted, demoted: Event pulses.
        row_set, row_way, level, wanted, load, tag_in, make_hot, slot_in: To the ports of these names of all banks.
        take: To the banks' `entry_write`, one bit a bank.
        eligible, any_left, pick_way, tag_out, slot_out: From the ports of these names of each bank.
        event: Stream of `state_beat`, the answer.

    Cost: (counter_bits + 3) * (sets + 9) cycles, and up to 5 for each set and 10 for each row that moves, twice.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = g = geometry
        super().__init__(
            {
                "start": In(1), "running": Out(1), "done": Out(1),
                "hot_rows": In(g.hot_rows_bits), "set_mask": In(g.set_bits),
                "hysteresis": In(4), "move_limit": In(32), "select_start": In(g.set_bits),
                "clear": In(1), "restored": In(range(g.ways + 1)),
                "hot_count": Out(g.hot_rows_bits), "threshold": Out(g.counter_bits + 1),
                "promoted": Out(1), "demoted": Out(1),
                "row_set": Out(g.set_bits), "row_way": Out(g.way_bits), "level": Out(g.counter_bits + 1),
                "wanted": Out(Eligible), "load": Out(1), "take": Out(g.banks),
                "tag_in": Out(g.tag_bits), "make_hot": Out(1), "slot_in": Out(g.slot_bits),
                "eligible": In(range(g.ways + 1)).array(g.banks), "any_left": In(g.banks),
                "pick_way": In(g.way_bits).array(g.banks), "tag_out": In(g.tag_bits).array(g.banks),
                "slot_out": In(g.slot_bits).array(g.banks),
                "event": Out(stream.Signature(state_beat(g))),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        set_ = Signal(g.set_bits)  # the set that the banks read
        left = Signal(g.set_bits)  # sets of the walk behind it
        m.d.comb += self.row_set.eq(set_)

        # Counting. An address goes out in each cycle, and the sums follow in a pipeline.
        counting = Signal()
        total = Signal(g.entries_bits)
        counted, cycles = sum_tree(m, "counted", list(self.eligible))
        under_way = Signal(3 + cycles)  # way to the bank, memory, bank, sum over the banks
        m.d.sync += under_way.eq(Cat(counting, under_way))
        with m.If(under_way[-1]):
            m.d.sync += total.eq(total + counted)

        bit = Signal(range(g.counter_bits))
        base = Signal(g.counter_bits)  # more than hot_rows entries reach it (or it is zero)
        trial = Signal(g.counter_bits)
        to_promote = Signal(range(g.max_moves + 1))
        to_demote = Signal(range(g.max_moves + 1))
        free = Signal(g.hot_rows_bits)
        m.d.comb += trial.eq(base | (Const(1, g.counter_bits) << bit))
        m.d.sync += free.eq(self.hot_rows - self.hot_count)  # it stands still while entries are counted
        promoting = Signal()
        idle = Signal(g.entries_bits)
        recent = Signal(g.entries_bits)

        # Slots that were given up, with the rows that had them.
        m.submodules.vacated = vacated = fifo.SyncFIFOBuffered(width=g.slot_bits + g.key_bits, depth=g.max_moves)

        # The picked entry. What the banks offer is registered before it is chosen from.
        bank = Signal(range(g.banks))
        offered = stage(m, "offered", None, any_left=self.any_left, ways=list(self.pick_way), tags=list(self.tag_out),
                        slots=list(self.slot_out))  # fmt: skip
        some, first = first_set(offered["any_left"])
        mixed = Signal(g.key_bits)
        answer = [Signal(64, name=f"answer{index}") for index in range(2)]  # the event's words; zeros follow
        m.d.comb += self.event.payload.words.eq(Cat(answer))
        slot = Signal(g.slot_bits)
        old_key = Signal(g.key_bits)
        old_valid = Signal()

        # A slot is given up in the cycle after its entry has moved. It stands still from `offered` since then.
        gives_up = Signal()
        m.d.comb += [vacated.w_en.eq(gives_up), vacated.w_data.eq(Cat(Array(offered["slots"])[bank], mixed))]
        m.d.sync += gives_up.eq(0)

        def start_walk(from_start: bool = True) -> list:
            return [set_.eq(self.select_start & self.set_mask if from_start else 0), left.eq(self.set_mask)]

        def event_word(key, slot) -> Cat:
            low = Cat(key, Const(0, SLOT_FIELD.low - g.key_bits), slot)
            return Cat(low, Const(0, EVENT_VALID.low - len(low)), Const(1, 1))

        def closing_word(low, high) -> Cat:
            return Cat(low, Const(0, CLOSE_HIGH.low - len(low)), high)

        # What the walks that move rows look for. The walks that count set it in their states.
        # The banks get it a cycle later, as they get the set's entries.
        margin = Signal(g.counter_bits + 1)
        lowest = Signal(g.counter_bits + 1)
        level = Signal(g.counter_bits + 1)
        wanted = Signal(Eligible)
        finished = Signal()
        shows = Signal(3)
        takes = Signal()  # the promoted row takes the oldest slot that was given up, if there is one
        clears = Signal()
        m.d.comb += [
            vacated.r_en.eq(takes),
            level.eq(Mux(promoting, self.threshold, lowest)),
            wanted.eq(Mux(promoting, Eligible.COLD, Eligible.HOT)),
            self.slot_in.eq(slot),
            self.tag_in.eq(mixed[g.bank_bits :]),
        ]
        m.d.sync += [
            margin.eq(self.threshold >> self.hysteresis),
            lowest.eq(self.threshold - margin),
            self.level.eq(level),
            self.wanted.eq(wanted),
            finished.eq(Mux(promoting, to_promote, to_demote) == 0),
            clears.eq(self.clear),
            takes.eq(0),
        ]
        with m.If(clears):
            m.d.sync += [self.hot_count.eq(0), self.threshold.eq(0)]
        with m.Else():
            m.d.sync += self.hot_count.eq(self.hot_count + self.restored)

        with m.FSM(init="IDLE"):
            with m.State("IDLE"):
                with m.If(self.start):
                    m.d.sync += [
                        self.running.eq(1),
                        bit.eq(g.counter_bits - 1),
                        base.eq(0),
                        total.eq(0),
                        *start_walk(False),
                    ]
                    m.next = "IDLE_COUNT"
            for name, entries, count, following in (
                ("IDLE", Eligible.IDLE, idle, "RECENT_COUNT"),
                ("RECENT", Eligible.RECENT, recent, "SEARCH"),
            ):
                with m.State(f"{name}_COUNT"):
                    m.d.comb += [counting.eq(1), wanted.eq(entries)]
                    m.d.sync += [set_.eq(set_ + 1), left.eq(left - 1)]
                    with m.If(left == 0):
                        m.next = f"{name}_COUNTED"
                with m.State(f"{name}_COUNTED"):
                    m.d.comb += wanted.eq(entries)
                    with m.If(under_way == 0):
                        m.d.sync += [count.eq(total), total.eq(0), *start_walk(False)]
                        m.next = following
            with m.State("SEARCH"):
                m.d.comb += [counting.eq(1), level.eq(trial), wanted.eq(Eligible.ALL)]
                m.d.sync += [set_.eq(set_ + 1), left.eq(left - 1)]
                with m.If(left == 0):
                    m.next = "SEARCHED"
            with m.State("SEARCHED"):
                m.d.comb += [level.eq(trial), wanted.eq(Eligible.ALL)]
                with m.If(under_way == 0):
                    with m.If(total > self.hot_rows):
                        m.d.sync += base.eq(trial)
                    m.d.sync += [bit.eq(bit - 1), total.eq(0), *start_walk(False)]
                    m.next = "SEARCH"
                    with m.If(bit == 0):
                        m.next = "THRESHOLD"
            with m.State("THRESHOLD"):
                m.d.sync += self.threshold.eq(base + 1)
                m.next = "COUNT"
            with m.State("COUNT"):
                m.d.comb += [counting.eq(1), level.eq(self.threshold), wanted.eq(Eligible.COLD)]
                m.d.sync += [set_.eq(set_ + 1), left.eq(left - 1)]
                with m.If(left == 0):
                    m.next = "COUNTED"
            with m.State("COUNTED"):
                m.d.comb += [level.eq(self.threshold), wanted.eq(Eligible.COLD)]
                limit = Signal(range(g.max_moves + 1))
                m.d.sync += limit.eq(Mux(self.move_limit < g.max_moves, self.move_limit, g.max_moves))
                with m.If(under_way == 0):
                    m.d.sync += to_promote.eq(Mux(total < limit, total, limit))
                    m.next = "PLAN"
            with m.State("PLAN"):
                m.d.sync += [
                    to_demote.eq(Mux(to_promote > free, to_promote - free, 0)),
                    # This many rows find a free slot. Each slot that is given up adds one more.
                    to_promote.eq(Mux(to_promote > free, free, to_promote)),
                    promoting.eq(0),
                    *start_walk(),
                ]
                m.next = "READ"

            with m.State("READ"):
                m.next = "LOAD"
            with m.State("LOAD"):
                m.d.comb += self.load.eq(1)
                m.next = "OFFER"
            with m.State("OFFER"):
                m.next = "OFFERED"
            with m.State("OFFERED"):
                m.next = "FIND"
            with m.State("FIND"):
                m.d.sync += bank.eq(first)
                with m.If(~finished & some):
                    m.next = "PICK"
                with m.Elif(~finished & (left != 0)):
                    m.d.sync += [set_.eq((set_ + 1) & self.set_mask), left.eq(left - 1)]
                    m.next = "READ"
                with m.Elif(~promoting):
                    m.d.sync += [promoting.eq(1), *start_walk()]
                    m.next = "READ"
                with m.Else():
                    m.next = "CLOSE"
            with m.State("PICK"):
                m.d.sync += [self.row_way.eq(Array(offered["ways"])[bank]), shows.eq(1)]
                m.next = "SHOW"
            with m.State("SHOW"):
                # The way goes to the banks, and they read its tag and slot, which are registered.
                m.d.sync += shows.eq(shows << 1)
                with m.If(shows[-1]):
                    m.d.sync += takes.eq(promoting)
                    m.next = "SLOT"
            with m.State("SLOT"):
                # A row that becomes hot gets a slot.
                m.d.sync += [
                    mixed.eq(Cat(bank, Array(offered["tags"])[bank])),
                    slot.eq(Mux(vacated.r_rdy, vacated.r_data[: g.slot_bits], self.hot_count)),
                    old_key.eq(vacated.r_data[g.slot_bits :]),
                    old_valid.eq(vacated.r_rdy),
                ]
                with m.If(promoting & ~vacated.r_rdy):
                    m.d.sync += self.hot_count.eq(self.hot_count + 1)
                m.next = "MOVE"
            with m.State("MOVE"):
                m.d.comb += [self.take.eq(Const(1, g.banks) << bank), self.make_hot.eq(promoting)]
                with m.If(promoting):
                    m.d.comb += self.promoted.eq(1)
                    m.d.sync += to_promote.eq(to_promote - 1)
                    m.next = "SEND"
                with m.Else():
                    m.d.comb += self.demoted.eq(1)
                    m.d.sync += [gives_up.eq(1), to_demote.eq(to_demote - 1), to_promote.eq(to_promote + 1)]
                    m.next = "OFFER"
            with m.State("SEND"):
                m.d.comb += [
                    self.event.valid.eq(1),
                    answer[0].eq(event_word(mixed, slot)),
                    answer[1].eq(Mux(old_valid, event_word(old_key, Const(0, 1)), 0)),
                ]
                with m.If(self.event.ready):
                    m.next = "OFFER"
            with m.State("CLOSE"):
                m.d.comb += [
                    self.event.valid.eq(1),
                    answer[0].eq(closing_word(self.hot_count, idle)),
                    answer[1].eq(closing_word(self.threshold, recent)),
                    self.event.payload.last.eq(1),
                ]
                with m.If(self.event.ready):
                    m.d.comb += self.done.eq(1)
                    m.d.sync += self.running.eq(0)
                    m.next = "IDLE"
        return m
