"""SampleAwareTracker: one bank's sets, with a pipeline that looks keys up in them and one that learns."""

from __future__ import annotations

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.budget import tracker_budget
from hotline_hw.core.layouts import Eligible, encode, entry_row, row_parts, select_one
from hotline_hw.lib.memories import deep
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import AGE_FIELD

from .counter_update import CounterUpdate, is_due, rank_pairs, set_state, smallest
from .matching import equal_parts

__all__ = ["SampleAwareTracker", "row_ports"]


class SampleAwareTracker(wiring.Component):
    """The sets of one bank. Lookups and updates each go through a pipeline of their own, one a cycle.

        lookup   read    tags       compare   match   address   slot    answer
                 tags    (latched)  parts     ways    of slot   (latched)

        update   enter   tags       state     rank    choose    change
                 read    (latched)  read,     pairs   victim    and write
                 tags               compare   of
                                    parts     ways
        stage    entry   latched    compared  ranked  chosen    written

    Lookups only read. Within a mini-batch no hot bit changes and no hot entry is driven out, so what a lookup sees does
    not depend on how many updates have been written.

    Updates act one after the other, although up to five are under way. Let one be *cold* if its lookup missed.

    - A cold update waits at the entry while a cold update of another key of its set is under way. So the ways that may
      be driven out stand still while their counters are compared, and tags of the set are read after they are written.
    - A cold update of the same key does not wait. It hits the way that the one ahead hit or filled (`follows`). If that
      one was not taken in, neither is this one.
    - An update of a hot key never waits. Its way is never driven out, and it changes nothing that others compare.
    - What updates ahead have left of the set's state replaces what was read (`same`): four updates may be between.

    An update that takes a key in writes the tag through the port that updates read tags through. In that cycle no
    update leaves the entry. So a tag memory needs two ports: one reads, the other reads or writes.

    Ports:
        valid, tag: A lookup.
        answer_valid, answer_hit, answer_slot: The answer to a lookup, `LATENCY` cycles later.
        update_valid, update_tag, update_weight: An update. It is taken if `update_ready` is high.
        update_hot: Its key is hot. If it is low the key may be hot, too; then the update may wait longer.
        update_ready: There is room at the entry.
        updating: An update has been taken and is not written yet.
        inserted, evicted, revived, returned: Event pulses, see `CounterUpdate`.
        bank: This bank's number.
        budget: `tracker_budget`. It must be stable.
        age_period: Register AGE_PERIOD. It must be stable while updates are under way.
        row_access: The ports below are used. No lookup and no update may be in flight.
        row_set: A set. `row_out` is its contents besides tags and slots, one cycle later, and `hot_out` its hot ways.
        row_write: The set becomes `row_in`, and its tags and hot bits stay. Or it becomes empty, if `clear` is high.
        row_way: A way of the set. `tag_out` and `slot_out` are its tag and slot, one cycle later.
        entry_write: The tag becomes `tag_in`. The entry becomes hot, with slot `slot_in`, or cold, as `make_hot` says.
        level, wanted: Which entries are eligible, see `Eligible`.
        eligible: How many entries of the set that was read a cycle ago are eligible, one more cycle later.
        load: The eligible entries of the set that was read become the current ones.
        any_left: A current entry is left. One that is written is none any more.
        pick_way: The lowest current entry.
    """

    LATENCY = 6
    STAGES = 5
    """Stages of an update behind the entry. A cold update of another key of the set may enter so many cycles later."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "valid": In(1), "tag": In(geometry.tag_bits),
                "answer_valid": Out(1), "answer_hit": Out(1), "answer_slot": Out(geometry.slot_bits),
                "update_valid": In(1), "update_tag": In(geometry.tag_bits), "update_hot": In(1),
                "update_weight": In(geometry.weight_bits), "update_ready": Out(1), "updating": Out(1),
                "inserted": Out(1), "evicted": Out(1), "revived": Out(1), "returned": Out(1),
                "bank": In(geometry.bank_bits), "budget": In(tracker_budget(geometry)),
                "age_period": In(AGE_FIELD.width),
                **row_ports(geometry),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry

        # Memories start undefined: after reset the core empties every set before it takes a lookup.
        def sets(name: str, shape: int, depth: int = g.sets, attrs: dict | None = None) -> memory.Memory:
            m.submodules[name] = store = memory.Memory(shape=shape, depth=depth, init=[], attrs=attrs)
            return store

        states = sets("states", set_state(g).size, attrs=deep(g))
        slots = sets("slots", g.slot_bits, g.sets << g.way_bits, attrs=deep(g))
        tags = [sets(f"tags{way}", g.tag_bits + 1) for way in range(g.ways)]  # above a tag is whether its row is hot

        self._lookups(m, [store.read_port() for store in tags], slots.read_port())
        state_read = states.read_port()
        state_write = states.write_port()
        slot_write = slots.write_port()
        tag_reads = [store.read_port() for store in tags]
        tag_writes = [store.write_port() for store in tags]
        self._updates(m, tag_reads, tag_writes, state_read, state_write)
        self._rows(m, state_read, tag_reads, slot_write)
        return m

    def _lookups(self, m: Module, tag_reads: list, slot_read) -> None:
        """Lookups: nothing but reading."""
        g = self.geometry
        layout = data.StructLayout({"set": g.set_bits, "tag": g.tag_bits})
        stages = [Signal(layout, name=f"lookup_{stage}") for stage in ("latched", "compared", "matched", "addressed")]
        latched, compared, _, addressed = stages
        valid = Signal(self.LATENCY)
        m.d.sync += [
            valid.eq(Cat(self.valid, valid)),
            latched.set.eq(self.tag[: g.set_bits] & self.budget.set_mask),
            latched.tag.eq(self.tag),
            *(stage.eq(before) for before, stage in pairwise(stages)),
        ]
        m.d.comb += [port.addr.eq(self.tag[: g.set_bits] & self.budget.set_mask) for port in tag_reads]

        words = [Signal(g.tag_bits, name=f"lookup_word{way}") for way in range(g.ways)]
        parts = [Signal(len(equal_parts(self.tag, self.tag)), name=f"lookup_equal{way}") for way in range(g.ways)]
        hot_word = Signal(g.ways)
        hot_ways = Signal(g.ways)
        hit_ways = Signal(g.ways)
        m.d.sync += [
            hot_word.eq(Cat(port.data[-1] for port in tag_reads)), hot_ways.eq(hot_word),
            *(word.eq(port.data[:-1]) for word, port in zip(words, tag_reads, strict=True)),
            *(part.eq(equal_parts(word, compared.tag)) for part, word in zip(parts, words, strict=True)),
            hit_ways.eq(Cat(part.all() for part in parts) & hot_ways),
        ]  # fmt: skip
        slot_hit = Signal()
        slot = Signal(g.slot_bits)
        m.d.sync += [slot_hit.eq(hit_ways.any()), self.answer_hit.eq(slot_hit), slot.eq(slot_read.data)]
        m.d.comb += [
            slot_read.addr.eq(
                Mux(self.row_access, Cat(self.row_way, self.row_set), Cat(encode(hit_ways), addressed.set))
            ),
            self.answer_valid.eq(valid[-1]),
            self.answer_slot.eq(slot),
            self.slot_out.eq(slot_read.data),
        ]

    def _updates(self, m: Module, tag_reads: list, tag_writes: list, state_read, state_write) -> None:
        g = self.geometry
        flight = data.StructLayout(
            {"valid": 1, "hot": 1, "tag": g.tag_bits, "set": g.set_bits, "weight": g.weight_bits}
        )
        entry, latched, compared, _, chosen, written = stages = [
            Signal(flight, name=f"update_{name}")
            for name in ("entry", "latched", "compared", "ranked", "chosen", "written")
        ]
        fill = Signal(g.ways)
        inserts = Signal()  # the update in `written` takes its key in

        # Enter. Whom the update must wait for was compared when it came.
        waits = Signal(self.STAGES)
        goes = Signal()
        came_set = Signal(g.set_bits)
        m.d.comb += [
            goes.eq(entry.valid & ~waits.any() & ~inserts),
            self.update_ready.eq(goes | ~entry.valid),
            came_set.eq(self.update_tag[: g.set_bits] & self.budget.set_mask),
        ]
        with m.If(self.update_ready):
            m.d.sync += [
                entry.valid.eq(self.update_valid & self.update_weight.any()), entry.hot.eq(self.update_hot),
                entry.tag.eq(self.update_tag), entry.set.eq(came_set), entry.weight.eq(self.update_weight),
                waits.eq(
                    Cat(
                        ahead.valid & ~ahead.hot & ~self.update_hot
                        & (ahead.set == came_set) & (ahead.tag != self.update_tag)
                        for ahead in stages[:-1]
                    )
                ),
            ]  # fmt: skip
        with m.Else():
            m.d.sync += waits.eq(waits << 1)
        for before, stage in pairwise(stages):
            m.d.sync += stage.eq(before)
        m.d.sync += latched.valid.eq(goes)

        # For each distance from 1 to 4: the update so far ahead has the same set, or it decides on the same key.
        ahead = stages[1:-1]
        same = [Signal(len(ahead), name=f"{name}_same") for name in ("latched", "compared", "ranked", "chosen")]
        follows = [Signal(len(ahead), name=f"{name}_follows") for name in ("latched", "compared", "ranked", "chosen")]
        m.d.sync += [
            same[0].eq(Cat(stage.valid & (stage.set == entry.set) for stage in ahead)),
            follows[0].eq(Cat(stage.valid & ~stage.hot & ~entry.hot & (stage.tag == entry.tag) for stage in ahead)),
            *(later.eq(flags) for flags, later in pairwise(same)),
            *(later.eq(flags) for flags, later in pairwise(follows)),
        ]

        # Read
        tag_address = Signal(g.set_bits)
        state_address = Signal(g.set_bits)
        m.d.comb += [
            tag_address.eq(Mux(inserts, written.set, Mux(self.row_access, self.row_set, entry.set))),
            state_address.eq(Mux(self.row_access, self.row_set, latched.set)),
            *(port.addr.eq(tag_address) for port in (*tag_reads, *tag_writes)),
            state_read.addr.eq(state_address),
        ]
        words = [Signal(g.tag_bits, name=f"update_word{way}") for way in range(g.ways)]
        parts = [Signal(len(equal_parts(entry.tag, entry.tag)), name=f"update_equal{way}") for way in range(g.ways)]
        read_state = Signal(set_state(g))
        hot_word = Signal(g.ways)
        read_hot = Signal(g.ways)
        below = Signal()  # the set is below the budget's boundary
        usable = Signal(g.ways)
        m.d.sync += [
            *(word.eq(port.data[:-1]) for word, port in zip(words, tag_reads, strict=True)),
            *(part.eq(equal_parts(word, compared.tag)) for part, word in zip(parts, words, strict=True)),
            read_state.eq(state_read.data),
            hot_word.eq(Cat(port.data[-1] for port in tag_reads)),
            read_hot.eq(hot_word),
            below.eq(Cat(self.bank, latched.set) < self.budget.boundary),
            usable.eq(Mux(below, self.budget.ways_high, self.budget.ways_low)),
        ]

        # Rank the ways, and find out which one has the key. Take over what was written since the state was read.
        known = Signal(g.ways)
        hot = Signal(g.ways)
        candidates = Signal(g.ways)
        ranks = Signal(len(rank_pairs(read_state, g.ways)))
        now = Signal(data.StructLayout({"state": set_state(g), "due": 1}))
        past = [Signal(now.shape(), name=f"written{ago}") for ago in (1, 2)]  # what was written so many cycles ago
        chosen_state = Signal(now.shape())
        m.d.sync += [
            known.eq(Cat(part.all() for part in parts) & read_state.valid),
            hot.eq(read_hot),
            candidates.eq(usable & ~read_hot),
            ranks.eq(rank_pairs(read_state, g.ways)),
            past[0].eq(now),
            past[1].eq(past[0]),
            chosen_state.state.eq(read_state),
            chosen_state.due.eq(is_due(read_state.age, self.age_period)),
        ]
        for distance, value in ((4, past[1]), (3, past[0]), (2, now)):
            with m.If(same[2][distance - 1]):
                m.d.sync += chosen_state.eq(value)

        # Choose
        hit = Signal(g.ways)
        unknown = Signal()
        ages = Signal()
        written_hot = Signal(g.ways)
        written_state = Signal(now.shape())
        outcome = Signal(data.StructLayout({"way": g.ways, "unknown": 1}))
        outcomes = [outcome, *(Signal(outcome.shape(), name=f"outcome{ago}") for ago in (1, 2, 3))]
        m.d.comb += [outcome.way.eq(hit | fill), outcome.unknown.eq(unknown & ~inserts)]
        m.d.sync += [later.eq(before) for before, later in pairwise(outcomes)]
        chooses = Signal()
        finds_none = Signal()
        state_now = Signal(now.shape())
        m.d.comb += [
            chooses.eq(chosen.valid & ~follows[3].any() & ~known.any()),
            finds_none.eq(
                Mux(follows[3].any(), select_one(follows[3], [past.unknown for past in outcomes]), ~known.any())
            ),
            state_now.eq(Mux(same[3][0], now, chosen_state)),
        ]
        m.d.sync += [
            hit.eq(Mux(follows[3].any(), select_one(follows[3], [past.way for past in outcomes]), known)),
            unknown.eq(finds_none),
            ages.eq(finds_none & state_now.due),
            fill.eq(Mux(chooses, smallest(candidates, ranks), 0)),
            inserts.eq(chooses & candidates.any()),
            written_hot.eq(hot),
            written_state.eq(state_now),
        ]

        # Change and write
        m.submodules.update = update = CounterUpdate(g)
        m.d.comb += [
            update.state.eq(written_state.state), update.due.eq(written_state.due),
            update.due_later.eq(is_due(written_state.state.age, self.age_period, ahead=1)),
            update.due_anew.eq(is_due(Const(0, AGE_FIELD.width), self.age_period)),
            update.hot.eq(written_hot), update.hit.eq(hit), update.fill.eq(fill), update.unknown.eq(unknown),
            update.ages.eq(ages),
            update.weight.eq(written.weight), now.state.eq(update.after), now.due.eq(update.due_after),
            self.updating.eq(Cat(stage.valid for stage in stages).any()),
        ]  # fmt: skip
        m.d.sync += [
            self.inserted.eq(inserts),
            self.evicted.eq(update.evict),
            self.revived.eq(written.valid & update.revives),
            self.returned.eq(written.valid & update.returns),
        ]
        row = self.row_in
        whole_row = Cat(row_parts(row))
        given = Signal(g.ways)  # the way that is written
        clears = self.row_write & self.clear
        m.d.comb += [
            state_write.addr.eq(Mux(self.row_access, self.row_set, written.set)),
            state_write.data.eq(Mux(self.row_access, Mux(self.clear, 0, whole_row), now.state)),
            state_write.en.eq(Mux(self.row_access, self.row_write, written.valid)),
            given.eq(Mux(self.entry_write, Const(1, g.ways) << self.row_way, 0)),
        ]
        # All ways are offered the same word. An entry that an update takes in is cold.
        word = Mux(self.row_access, Cat(self.tag_in, self.make_hot & ~clears), written.tag)
        for way, port in enumerate(tag_writes):
            m.d.comb += [port.data.eq(word), port.en.eq(Mux(self.row_access, clears | given[way], fill[way]))]

    def _rows(self, m: Module, state_read, tag_reads: list, slot_write) -> None:
        """Sets and entries, in and out, and the choice of entries."""
        g = self.geometry
        current = Signal(g.ways)  # who is left
        shown_way = Signal(g.way_bits)
        m.d.comb += [
            slot_write.addr.eq(Cat(self.row_way, self.row_set)),
            slot_write.data.eq(self.slot_in),
            slot_write.en.eq(self.entry_write & self.make_hot),
        ]
        read = Signal(set_state(g))
        m.d.sync += shown_way.eq(self.row_way)
        m.d.comb += [
            read.eq(state_read.data),
            Cat(row_parts(self.row_out)).eq(state_read.data),
            self.hot_out.eq(Cat(port.data[-1] for port in tag_reads)),
        ]
        with m.Switch(shown_way):
            for way, port in enumerate(tag_reads):
                with m.Case(way):
                    m.d.comb += self.tag_out.eq(port.data[:-1])
        reaches = Signal(g.ways)
        eligible = Signal(g.ways)
        m.d.comb += reaches.eq(Cat(read.counters[way] >= self.level for way in range(g.ways)))
        of_hot, by_reference, of_all = Value.cast(self.wanted)
        for way in range(g.ways):
            hot = self.hot_out[way]
            m.d.comb += eligible[way].eq(
                Mux(of_hot, hot, read.valid[way] & (~hot | of_all))
                & (Mux(by_reference, read.referenced[way], reaches[way]) ^ of_hot)
            )
        m.d.sync += self.eligible.eq(sum((eligible[way] for way in range(g.ways)), Const(0)))
        with m.If(self.load):
            m.d.sync += current.eq(eligible)
        with m.Elif(self.entry_write):
            m.d.sync += current.bit_select(self.row_way, 1).eq(0)
        m.d.comb += [
            self.any_left.eq(current.any()),
            self.pick_way.eq(encode(current & (~current + 1)[: g.ways])),
        ]


def row_ports(geometry: Geometry) -> dict[str, wiring.Member]:
    """Ports for access to whole sets and to chosen entries, as `SampleAwareTracker` describes them."""
    return {
        "row_access": In(1), "row_set": In(geometry.set_bits), "row_write": In(1), "clear": In(1),
        "row_in": In(entry_row(geometry)), "row_out": Out(entry_row(geometry)), "hot_out": Out(geometry.ways),
        "row_way": In(geometry.way_bits), "tag_out": Out(geometry.tag_bits), "slot_out": Out(geometry.slot_bits),
        "entry_write": In(1), "tag_in": In(geometry.tag_bits), "make_hot": In(1), "slot_in": In(geometry.slot_bits),
        "level": In(geometry.counter_bits + 1), "wanted": In(Eligible), "eligible": Out(range(geometry.ways + 1)),
        "load": In(1), "any_left": Out(1), "pick_way": Out(geometry.way_bits),
    }  # fmt: skip
