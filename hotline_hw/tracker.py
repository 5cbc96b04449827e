"""SrripTracker: one bank's sets and the pipeline that looks keys up in them."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from .layouts import entry_row
from .params import Geometry

__all__ = ["SrripTracker", "SrripUpdate", "tracker_budget"]


def tracker_budget(geometry: Geometry) -> data.StructLayout:
    """The run-time budget, broadcast to every bank.

    `set_mask`: sets in use. `ways_low`, `ways_high`: ways in use of a set at or above, and below, `boundary` (a global
    set index). `shift`: log2 of the sets in use in one bank.
    """
    return data.StructLayout(
        {
            "set_mask": geometry.set_bits,
            "ways_low": geometry.ways,
            "ways_high": geometry.ways,
            "boundary": geometry.index_bits,
            "shift": range(geometry.set_bits + 1),
        }
    )


class SrripUpdate(wiring.Component):
    """What one lookup does to one set: combinational, the rule of SRRIP with hit promotion.

    Jaleel et al., "High Performance Cache Replacement Using Re-Reference Interval Prediction (RRIP)", ISCA 2010.

    Ports:
        valid, rrpv: the set's state. match: ways whose tag is the key's. usable: ways in the budget.
        learn: the lookup may change the set.
        hit, hit_ways: whether a usable valid way matches, and which (one-hot).
        fill: ways (one-hot) that take the key in, none on a hit or where no way is usable. evict: that way was valid.
        next_valid, next_rrpv: the state after a LEARN lookup.
    """

    def __init__(self, *, ways: int, rrpv_bits: int) -> None:
        self.ways = ways
        self.rrpv_bits = rrpv_bits
        state = data.ArrayLayout(rrpv_bits, ways)
        super().__init__(
            {
                "valid": In(ways), "rrpv": In(state), "match": In(ways), "usable": In(ways), "learn": In(1),
                "hit": Out(1), "hit_ways": Out(ways), "fill": Out(ways), "evict": Out(1),
                "next_valid": Out(ways), "next_rrpv": Out(state),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ways = range(self.ways)
        distant = (1 << self.rrpv_bits) - 1
        long = distant - 1
        m.d.comb += [
            self.hit_ways.eq(self.match & self.valid & self.usable),
            self.hit.eq(self.hit_ways.any()),
        ]

        # The largest RRPV among usable ways, found by trying each value from the top.
        holders = []  # for each value, the usable ways that hold it
        for value in range(distant + 1):
            ways_with = Signal(self.ways, name=f"holders{value}")
            m.d.comb += ways_with.eq(self.usable & Cat(self.rrpv[way] == value for way in ways))
            holders.append(ways_with)
        oldest = Signal(self.ways)
        age = Signal(self.rrpv_bits)  # what every way ages by, so that the oldest become distant
        for value, ways_with in enumerate(holders):
            with m.If(ways_with.any()):
                m.d.comb += [oldest.eq(ways_with), age.eq(distant - value)]

        empty = Signal(self.ways)
        full = Signal()
        candidates = Signal(self.ways)
        lowest = Signal(self.ways)
        m.d.comb += [
            empty.eq(self.usable & ~self.valid),
            full.eq(~empty.any()),
            candidates.eq(Mux(full, oldest, empty)),
            lowest.eq(candidates & (~candidates + 1)[: self.ways]),
            self.fill.eq(Mux(self.learn & ~self.hit, lowest, 0)),
            self.evict.eq((self.fill & self.valid).any()),
            self.next_valid.eq(self.valid | self.fill),
        ]
        for way in ways:
            aged = Mux(self.usable[way], self.rrpv[way] + age, self.rrpv[way])
            m.d.comb += self.next_rrpv[way].eq(
                Mux(
                    self.hit,
                    Mux(self.hit_ways[way], 0, self.rrpv[way]),
                    Mux(self.fill[way], long, Mux(full, aged, self.rrpv[way])),
                )
            )
        return m


class SrripTracker(wiring.Component):
    """The sets of one bank, and a pipeline that takes one lookup a cycle whatever the keys.

        read          compare        update             write, answer
        set address   tags, patched  SRRIP, patched     (`done` registers)

    A lookup is read from memory while up to two before it have not been written. Both are caught by comparing with
    the lookup in `done`: by the compare stage for the one two ahead (patching what memory gave), by the update stage
    for the one right ahead (whose set comparison was made a stage earlier).

    Ports:
        valid, tag, learn: a lookup; `tag` is the mixed key above the bank.
        answer_valid, answer_hit, answer_slot: its answer, `LATENCY` cycles later.
        inserted, evicted: pulses with the answer.
        bank: this bank's number. budget: payload `tracker_budget`; stable while lookups are in flight.
        row_set, row_write, row_in, row_out: access to a whole set while no lookup is in flight. `row_out` is the set
            addressed a cycle before. clear: with `row_write`, the set is emptied and `row_in` ignored.
    """

    LATENCY = 3

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "valid": In(1),
                "tag": In(geometry.tag_bits),
                "learn": In(1),
                "answer_valid": Out(1),
                "answer_hit": Out(1),
                "answer_slot": Out(geometry.slot_bits),
                "inserted": Out(1),
                "evicted": Out(1),
                "bank": In(geometry.bank_bits),
                "budget": In(tracker_budget(geometry)),
                "row_access": In(1),
                "row_set": In(geometry.set_bits),
                "row_write": In(1),
                "clear": In(1),
                "row_in": In(entry_row(geometry)),
                "row_out": Out(entry_row(geometry)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        ways = range(g.ways)
        state_layout = data.StructLayout({"valid": g.ways, "rrpv": data.ArrayLayout(g.rrpv_bits, g.ways)})

        # Memories. They start undefined: after reset the core empties every set before it takes a lookup.
        m.submodules.tags = tags = memory.Memory(shape=g.ways * g.tag_bits, depth=g.sets, init=[])
        m.submodules.states = states = memory.Memory(shape=state_layout, depth=g.sets, init=[])
        tag_read, state_read = tags.read_port(), states.read_port()
        tag_write, state_write = tags.write_port(granularity=g.tag_bits), states.write_port()

        # Read
        address = Signal(g.set_bits)
        m.d.comb += [
            address.eq(Mux(self.row_access, self.row_set, self.tag[: g.set_bits] & self.budget.set_mask)),
            tag_read.addr.eq(address),
            state_read.addr.eq(address),
        ]
        compare_valid, compare_learn = Signal(), Signal()
        compare_tag, compare_set = Signal(g.tag_bits), Signal(g.set_bits)
        m.d.sync += [
            compare_valid.eq(self.valid),
            compare_learn.eq(self.learn),
            compare_tag.eq(self.tag),
            compare_set.eq(address),
        ]

        # Registers of the last stage, which the two stages before it are patched with.
        done_valid, done_hit = Signal(), Signal()
        done_tag, done_set = Signal(g.tag_bits), Signal(g.set_bits)
        done_state = Signal(state_layout)
        done_ways, done_fill = Signal(g.ways), Signal(g.ways)

        # Compare
        patch = Signal()  # the lookup two ahead left this set as `done` says
        same_tag = Signal()
        raw_match = Signal(g.ways)
        update_valid, update_learn = Signal(), Signal()
        update_tag, update_set = Signal(g.tag_bits), Signal(g.set_bits)
        m.d.comb += [
            patch.eq(done_valid & (done_set == compare_set)),
            same_tag.eq(done_tag == compare_tag),
            raw_match.eq(Cat(tag_read.data.word_select(way, g.tag_bits) == compare_tag for way in ways)),
        ]
        update_state = Signal(state_layout)
        update_match = Signal(g.ways)
        update_usable = Signal(g.ways)
        follows = Signal()  # the lookup right ahead is in the same set
        follows_tag = Signal()
        m.d.sync += [
            update_valid.eq(compare_valid),
            update_learn.eq(compare_learn),
            update_tag.eq(compare_tag),
            update_set.eq(compare_set),
            update_state.eq(Mux(patch, done_state, state_read.data)),
            update_match.eq(Mux(patch, (raw_match & ~done_fill) | Mux(same_tag, done_fill, 0), raw_match)),
            update_usable.eq(
                Mux(Cat(self.bank, compare_set) < self.budget.boundary, self.budget.ways_high, self.budget.ways_low)
            ),
            follows.eq(update_valid & (update_set == compare_set)),
            follows_tag.eq(update_tag == compare_tag),
        ]

        # Update
        m.submodules.update = update = SrripUpdate(ways=g.ways, rrpv_bits=g.rrpv_bits)
        state = Signal(state_layout)
        next_state = Signal(state_layout)
        m.d.comb += [
            state.eq(Mux(follows, done_state, update_state)),
            update.valid.eq(state.valid),
            update.rrpv.eq(state.rrpv),
            update.match.eq(
                Mux(follows, (update_match & ~done_fill) | Mux(follows_tag, done_fill, 0), update_match)
            ),
            update.usable.eq(update_usable),
            update.learn.eq(update_learn),
            next_state.valid.eq(Mux(update_learn, update.next_valid, state.valid)),
            next_state.rrpv.eq(Mux(update_learn, update.next_rrpv, state.rrpv)),
        ]
        m.d.sync += [
            done_valid.eq(update_valid),
            done_tag.eq(update_tag),
            done_set.eq(update_set),
            done_state.eq(next_state),
            done_hit.eq(update.hit),
            done_ways.eq(update.hit_ways),
            done_fill.eq(update.fill),
            self.inserted.eq(update_valid & update.fill.any()),
            self.evicted.eq(update_valid & update.evict),
        ]

        # Write
        with m.If(self.row_access):
            m.d.comb += [
                tag_write.addr.eq(self.row_set),
                tag_write.data.eq(self.row_in.tag),
                tag_write.en.eq(Mux(self.row_write, ~Const(0, g.ways), 0)),
                state_write.addr.eq(self.row_set),
                state_write.data.valid.eq(Mux(self.clear, 0, self.row_in.valid)),
                state_write.data.rrpv.eq(Mux(self.clear, 0, self.row_in.rrpv)),
                state_write.en.eq(self.row_write),
            ]
        with m.Else():
            m.d.comb += [
                tag_write.addr.eq(update_set),
                tag_write.data.eq(update_tag.replicate(g.ways)),
                tag_write.en.eq(Mux(update_valid, update.fill, 0)),
                state_write.addr.eq(update_set),
                state_write.data.eq(next_state),
                state_write.en.eq(update_valid & update_learn),
            ]
        m.d.comb += [
            self.row_out.valid.eq(state_read.data.valid),
            self.row_out.rrpv.eq(state_read.data.rrpv),
            self.row_out.tag.eq(tag_read.data),
        ]

        # Answer: the slot is the entry's position among those in use.
        way = Signal(g.way_bits)
        for index in ways:
            with m.If(done_ways[index]):
                m.d.comb += way.eq(index)
        base = Cat(self.bank, done_set)
        shifted = Array(way << (g.bank_bits + shift) for shift in range(g.set_bits + 1))[self.budget.shift]
        m.d.comb += [
            self.answer_valid.eq(done_valid),
            self.answer_hit.eq(done_hit),
            self.answer_slot.eq(base | shifted),
        ]
        return m
