"""The sample-aware tracker: updates act as if one after the other, and lookups hit exactly what is hot.

The reference keeps one watched set in registers and applies `WholeUpdate` (proven in test_counter_update.py) to one
update at a time. The tracker treats all sets alike, and the watched set takes each value in turn.
"""

from __future__ import annotations

from itertools import pairwise
from types import SimpleNamespace

import pytest
from amaranth.hdl import Array, Assert, Assume, Cat, Const, Cover, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hotline_hw.core.bank.sample_aware import SampleAwareTracker
from hotline_hw.core.budget import tracker_budget
from hotline_hw.core.layouts import Eligible, row_parts
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import WEIGHT_BITS
from hotline_hw.spec.words import AGE_FIELD
from hotline_sim.formal import PropertyFailed, check, cover, first_value, induct
from tests.formal.dma_parts import with_parts
from tests.formal.inside import keep_signals
from tests.formal.mutants import mutated
from tests.formal.stores import Store
from tests.formal.update_stages import Stages
from tests.formal.whole_update import WholeUpdate

GEOMETRY = Geometry(
    lanes=2, banks=2, sets=2, ways=2, entries_per_hot_row=2, counter_bits=2, table_bits=1, row_bits=5, bank_ports=1,
    queue_depth=2, beat_depth=4,
)  # fmt: skip


def state_layout(geometry: Geometry) -> data.StructLayout:
    """All parts of an `entry_row` in one value, in order."""
    ways = geometry.ways
    counters = data.ArrayLayout(geometry.counter_bits, ways)
    return data.StructLayout({"valid": ways, "referenced": ways, "age": AGE_FIELD.width, "counter": counters})


def row_layout(geometry: Geometry) -> data.StructLayout:
    """A set without its slots."""
    tags = data.ArrayLayout(geometry.tag_bits, geometry.ways)
    return data.StructLayout({**state_layout(geometry).members, "hot": geometry.ways, "tag": tags})


class PipelinesAreSequential(wiring.Component):
    """Compares free lookups, updates, row accesses and choices of entries, within the contract, with the watched set.

    The ports are those of `SampleAwareTracker`. The budget, the bank and the age period are constants.
    """

    def __init__(
        self, geometry: Geometry, watched: int, tracker: type[SampleAwareTracker] = SampleAwareTracker
    ) -> None:
        self.geometry, self.watched, self.tracker = geometry, watched, tracker
        super().__init__(
            {
                "valid": In(1), "tag": In(geometry.tag_bits),
                "update_valid": In(1), "update_tag": In(geometry.tag_bits), "update_weight": In(2),
                "update_hot": In(1),
                "bank": In(geometry.bank_bits), "budget": In(tracker_budget(geometry)), "age_period": In(2),
                "row_access": In(1), "row_set": In(geometry.set_bits), "row_write": In(1), "clear": In(1),
                "row_in": In(state_layout(geometry)),
                "row_way": In(geometry.way_bits), "entry_write": In(1), "tag_in": In(geometry.tag_bits),
                "make_hot": In(1), "slot_in": In(geometry.slot_bits),
                "level": In(geometry.counter_bits + 1), "wanted": In(3), "load": In(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        ways = range(g.ways)
        stores: list[Store] = []

        def memory(**how) -> Store:
            stores.append(Store(**how))
            return stores[-1]

        dut = with_parts(self.tracker, memory=SimpleNamespace(Memory=memory))(g)
        dut._MustUse__used = True  # elaborated here, so that the proof can look inside
        updates, lookups = keep_signals(dut, "_updates"), keep_signals(dut, "_lookups")
        self.rows = keep_signals(dut, "_rows")
        m.submodules.dut = dut.elaborate(platform)
        bank = first_value(m, self.bank)
        budget = data.View(tracker_budget(g), first_value(m, self.budget.as_value()))
        age_period = first_value(m, self.age_period)
        m.d.sync += Assume(budget.set_mask == (1 << budget.shift) - 1, "the mask is of the sets in use")
        m.d.comb += [
            dut.valid.eq(self.valid), dut.tag.eq(self.tag),
            dut.update_valid.eq(self.update_valid), dut.update_tag.eq(self.update_tag),
            dut.update_weight.eq(self.update_weight), dut.update_hot.eq(self.update_hot), dut.age_period.eq(age_period),
            dut.bank.eq(bank), dut.budget.eq(budget),
        ]  # fmt: skip

        # What is in flight: updates at the entry and in the stages behind it, and lookups.
        flight = data.StructLayout({"valid": 1, "tag": g.tag_bits, "weight": WEIGHT_BITS})
        entry, match = Signal(flight), Signal(flight)
        stages = [Signal(flight, name=f"stage{index}") for index in range(dut.STAGES)]
        update = stages[-1]
        looking = Signal(dut.LATENCY)
        in_flight, updating, held = Signal(), Signal(), Signal(range(2 * dut.STAGES))
        m.d.comb += [
            updating.eq(Cat(stage.valid for stage in (entry, *stages)).any()),
            in_flight.eq(self.valid | looking.any() | self.update_valid | updating),
        ]
        with m.If(dut.update_ready):
            m.d.sync += [
                entry.valid.eq(self.update_valid & self.update_weight.any()),
                entry.tag.eq(self.update_tag), entry.weight.eq(self.update_weight), held.eq(0),
            ]  # fmt: skip
        with m.Else():
            m.d.sync += [held.eq(held + 1), Assert(held < dut.STAGES, "an update waits for those in the pipeline only")]
        m.d.sync += [
            *(stage.eq(before) for before, stage in pairwise(stages)),
            stages[0].eq(entry), stages[0].valid.eq(entry.valid & dut.update_ready),
            match.valid.eq(self.valid), match.tag.eq(self.tag), looking.eq(Cat(self.valid, looking)),
            Assert(dut.answer_valid == looking[-1], "an answer after LATENCY cycles"),
            Assert(dut.updating == updating, "updating while an update is not done"),
        ]  # fmt: skip

        # The watched set, and what the update in the update stage does to it.
        row, slots = Signal(row_layout(g)), Array(Signal(g.slot_bits, name=f"slot_of_{way}") for way in ways)
        usable, mine = Signal(g.ways), Signal()
        below = Cat(bank, Const(self.watched, g.set_bits)) < budget.boundary
        ways_in_use = (budget.ways_high, budget.ways_low)
        m.submodules.rule = rule = WholeUpdate(g)
        m.d.comb += [
            mine.eq(update.valid & ((update.tag & budget.set_mask) == self.watched)),
            usable.eq(Mux(below, *ways_in_use)),
            rule.valid.eq(row.valid), rule.hot.eq(row.hot), rule.referenced.eq(row.referenced), rule.age.eq(row.age),
            *(there.eq(here) for there, here in zip(rule.counter, row.counter, strict=True)),
            rule.match.eq(Cat(row.tag[way] == update.tag for way in ways)),
            rule.usable.eq(usable), rule.weight.eq(update.weight), rule.age_period.eq(age_period),
        ]  # fmt: skip
        with m.If(mine):
            m.d.sync += [
                row.valid.eq(rule.next_valid), row.referenced.eq(rule.next_referenced), row.age.eq(rule.next_age),
                *(row.counter[way].eq(rule.next_counter[way]) for way in ways),
            ]  # fmt: skip
            for way in ways:
                with m.If(rule.fill[way]):
                    m.d.sync += row.tag[way].eq(update.tag)
        hot = Cat(row.valid[way] & row.hot[way] & (row.tag[way] == self.update_tag) for way in ways).any()
        here = (self.update_tag & budget.set_mask) == self.watched
        m.d.sync += Assume(~(self.update_valid & self.update_hot & here) | hot, "a key that is said to be hot is hot")
        m.d.sync += Assert(~update.valid | ~mine | ((rule.fill & row.hot) == 0), "no hot entry is driven out")
        expected = Signal(data.StructLayout({"mine": 1, "fill": 1, "evict": 1, "revives": 1, "returns": 1}))
        m.d.sync += [
            expected.mine.eq(mine),
            expected.fill.eq(rule.fill.any()),
            expected.evict.eq(rule.evict),
            expected.revives.eq(rule.revives),
            expected.returns.eq(rule.returns),
            Assert(~expected.mine | (dut.inserted == expected.fill), "inserted"),
            Assert(~expected.mine | (dut.evicted == expected.evict), "evicted"),
            Assert(~expected.mine | (dut.revived == expected.revives), "revived"),
            Assert(~expected.mine | (dut.returned == expected.returns), "returned"),
        ]  # fmt: skip
        self.restoring = Signal()  # entries have been written, and the rest of the set has not
        for high in ways:
            for low in range(high):
                both = row.valid[low] & row.valid[high] & ~self.restoring
                m.d.sync += Assert(~both | (row.tag[low] != row.tag[high]), "no tag twice in a set")

        # What the memories and all stages hold.
        states, slot_store, *tag_stores = stores
        kept = [row.valid, row.referenced, row.age, *(row.counter[way] for way in ways)]
        m.d.sync += Assert(states.rows[self.watched] == Cat(kept), "the memory has the state")
        for way in ways:
            empty = (row.counter[way] == 0) & (~row.hot[way] | self.restoring) & ~row.referenced[way]
            m.d.sync += [
                Assert(row.valid[way] | empty, f"way {way} is zero if it is invalid"),
                Assert(~row.valid[way] | usable[way], f"way {way} is in the budget if it is valid"),
                Assert(
                    tag_stores[way].rows[self.watched] == Cat(row.tag[way], row.hot[way]),
                    f"the memory has tag {way}, and whether it is hot",
                ),
                Assert(slot_store.rows[self.watched << g.way_bits | way] == slots[way], f"the memory has slot {way}"),
            ]
        m.d.sync += Assert(~mine | (updates.fill == rule.fill), "the way that takes the key in")
        inside = Stages(m, g, row, self.watched, below, ways_in_use, age_period, self.row_access, updates, lookups)
        inside.same_flights([entry, *stages], held, looking, match, budget.set_mask)
        inside.state()
        inside.lookups(self._lookups(m, dut, match, budget, row, slots), slots)
        self._rows(m, dut, row, slots, usable, in_flight)
        evictions = Signal(2)
        with m.If(mine):
            m.d.sync += evictions.eq(Mux(rule.evict, Mux(evictions == 3, 3, evictions + 1), 0))
        m.d.sync += Cover((evictions == 2) & (row.hot != 0) & match.valid, "two evictions past a hot entry")
        return m

    def _lookups(self, m: Module, dut, match, budget, row: data.View, slots: Array) -> list:
        """A lookup hits if a hot entry of its set has its tag. What counts is the set when the lookup came. Returns
        what is expected of lookups, by stage."""
        g = self.geometry
        here, hit, slot = Signal(), Signal(), Signal(g.slot_bits)
        m.d.comb += here.eq(match.valid & ((match.tag & budget.set_mask) == self.watched))
        for way in range(g.ways):
            with m.If(row.valid[way] & row.hot[way] & (row.tag[way] == match.tag)):
                m.d.comb += [hit.eq(1), slot.eq(slots[way])]
        expected = data.StructLayout({"mine": 1, "hit": 1, "slot": g.slot_bits})
        later = [Signal(expected, name=f"due{index}") for index in range(dut.LATENCY - 1)]
        early, due = later[0], later[-1]
        m.d.sync += [
            early.mine.eq(here), early.hit.eq(hit), early.slot.eq(slot),
            *(after.eq(before) for before, after in pairwise(later)),
            Assert(~due.mine | (dut.answer_hit == due.hit), "a hit is a hot entry with the tag"),
            Assert(~(due.mine & due.hit) | (dut.answer_slot == due.slot), "slot of the entry hit"),
        ]  # fmt: skip
        return later

    def _rows(self, m: Module, dut, row: data.View, slots: Array, usable, in_flight) -> None:
        """Accesses to whole sets, between mini-batches."""
        g = self.geometry
        ways = range(g.ways)
        m.d.comb += [
            dut.row_access.eq(self.row_access), dut.row_set.eq(self.row_set), dut.row_write.eq(self.row_write),
            dut.clear.eq(self.clear), Cat(row_parts(dut.row_in)).eq(self.row_in),
            dut.row_way.eq(self.row_way), dut.entry_write.eq(self.entry_write), dut.tag_in.eq(self.tag_in),
            dut.make_hot.eq(self.make_hot), dut.slot_in.eq(self.slot_in),
        ]  # fmt: skip
        here = Signal()
        m.d.comb += here.eq(self.row_access & (self.row_set == self.watched))
        changes = self.row_write | self.entry_write | self.load
        m.d.sync += [
            Assume(~(self.row_access & in_flight), "nothing is in flight when rows are accessed"),
            Assume(self.row_access | ~changes, "whoever changes rows says so"),
            Assume(self.row_way < g.ways, "a way there is"),
            Assume(~self.restoring | self.row_access, "a set that is restored is finished"),
            Assume(~(self.row_write & self.entry_write), "one write at a time"),
        ]
        with m.If(here & self.row_write & ~self.clear):
            given = self.row_in
            m.d.sync += Assume((given.valid & ~usable) == 0, "only ways in the budget are restored")
            for way in ways:
                empty = (given.counter[way] == 0) & ~row.hot[way] & ~given.referenced[way]
                m.d.sync += Assume(given.valid[way] | empty, "an invalid entry is zero")
            for high in ways:
                for low in range(high):
                    both = given.valid[low] & given.valid[high]
                    m.d.sync += Assume(~both | (row.tag[low] != row.tag[high]), "what is restored has no tag twice")
        with m.If(here & self.row_write):
            kept = [row.valid, row.referenced, row.age, *(row.counter[way] for way in ways)]
            m.d.sync += [Cat(kept).eq(Mux(self.clear, 0, self.row_in.as_value())), self.restoring.eq(0)]
            with m.If(self.clear):
                m.d.sync += [row.hot.eq(0), *(row.tag[way].eq(self.tag_in) for way in ways)]
        for way in ways:
            with m.If(here & self.entry_write & (self.row_way == way)):
                m.d.sync += [row.tag[way].eq(self.tag_in), row.hot[way].eq(self.make_hot)]
        with m.If(here & self.entry_write & self.make_hot):
            m.d.sync += slots[self.row_way].eq(self.slot_in)
        read, before, slot_before = Signal(), Signal(row_layout(g)), Signal(g.slot_bits)
        tag_before, way_before = Signal(g.tag_bits), Signal(g.way_bits)
        state_before = Cat(before.valid, before.referenced, before.age, before.counter.as_value())
        m.d.sync += [
            read.eq(here), before.eq(row), slot_before.eq(slots[self.row_way]),
            tag_before.eq(Array(row.tag[way] for way in ways)[self.row_way]), way_before.eq(self.row_way),
            Assert(~read | (Cat(row_parts(dut.row_out)) == state_before), "the row as it was"),
            Assert(~read | (dut.hot_out == before.hot), "who was hot"),
            Assert(~read | (dut.tag_out == tag_before), "the tag as it was"),
            Assert(self.rows.shown_way == way_before, "whose tag is shown"),
            Assert(~read | (Array(before.tag[way] for way in ways)[way_before] == tag_before), "tags as they were"),
            Assert(~read | (dut.slot_out == slot_before), "the slot as it was"),
        ]  # fmt: skip
        self._choice(m, dut, row, read, before, changes)

    def _choice(self, m: Module, dut, row: data.View, read, before: data.View, changes) -> None:
        """The entries that SELECT looks for, and those that it takes. Their set stays addressed meanwhile."""
        g = self.geometry
        ways = range(g.ways)
        m.d.comb += [
            dut.level.eq(self.level), dut.wanted.as_value().eq(self.wanted), dut.load.eq(self.load),
        ]  # fmt: skip
        addressed, last_set, changed = Signal(), Signal(g.set_bits), Signal()
        stays, loaded = Signal(), Signal()
        m.d.sync += [addressed.eq(self.row_access), last_set.eq(self.row_set), changed.eq(changes)]
        m.d.comb += stays.eq(self.row_access & addressed & (self.row_set == last_set))
        with m.If(~stays | self.row_write):
            m.d.sync += loaded.eq(0)
        with m.Elif(self.load):
            m.d.sync += loaded.eq(1)
        m.d.sync += [
            Assume(self.wanted <= Eligible.ALL.value, "a choice there is"),
            Assume(~self.load | (stays & ~changed), "a set is loaded that was read, and not changed meanwhile"),
            Assume(~self.load | ~(self.restoring | self.entry_write), "a set is loaded that is whole"),
            Assume(~(self.entry_write & loaded) | stays, "of the set that is loaded"),
        ]

        eligible, current = Signal(g.ways), Signal(g.ways)
        for way in ways:
            reaches = before.counter[way] >= self.level
            with m.Switch(self.wanted):
                with m.Case(Eligible.ALL.value):
                    m.d.comb += eligible[way].eq(before.valid[way] & reaches)
                with m.Case(Eligible.COLD.value):
                    m.d.comb += eligible[way].eq(before.valid[way] & ~before.hot[way] & reaches)
                with m.Case(Eligible.HOT.value):
                    m.d.comb += eligible[way].eq(before.hot[way] & ~reaches)
                with m.Case(Eligible.IDLE.value):
                    m.d.comb += eligible[way].eq(before.hot[way] & ~before.referenced[way])
                with m.Case(Eligible.RECENT.value):
                    m.d.comb += eligible[way].eq(before.valid[way] & ~before.hot[way] & before.referenced[way])
        mine, counted, count = Signal(), Signal(), Signal(range(g.ways + 1))
        m.d.comb += mine.eq(loaded & stays & (self.row_set == self.watched))
        # The tracker's own notes on the set that is loaded.
        noted = loaded & addressed & (last_set == self.watched)
        m.d.sync += [
            Assert(read == (addressed & (last_set == self.watched)), "the watched set was read"),
            Assert(~noted | (self.rows.current == current), "who is left"),
            Assert(~noted | ((current & ~row.valid) == 0), "who is left is there"),
            Assert(~noted | (before.tag.as_value() == row.tag.as_value()), "the tags as they are"),
            Assert(~read | changed | (before.as_value() == row.as_value()), "the row as it is"),
        ]
        m.d.sync += [
            counted.eq(read), count.eq(sum(eligible[way] for way in ways)),
            Assert(~counted | (dut.eligible == count), "how many are eligible"),
            Assert(~mine | (dut.any_left == current.any()), "whether one is left to be picked"),
        ]  # fmt: skip
        tag = Array(row.tag[way] for way in ways)[self.row_way]
        one_left = current.bit_select(self.row_way, 1) & (self.tag_in == tag)
        m.d.sync += Assume(~(mine & self.entry_write) | one_left, "one that is left is taken, and keeps its tag")
        with m.If((self.row_access & (self.row_set == self.watched)) & self.entry_write & ~loaded):
            m.d.sync += self.restoring.eq(1)
        with m.If(self.load):
            m.d.sync += current.eq(eligible)
        with m.Elif(mine & self.entry_write):
            m.d.sync += current.eq(current & ~(Const(1, g.ways) << self.row_way))
        lowest = Signal(g.way_bits)
        for way in reversed(ways):
            with m.If(current[way]):
                m.d.comb += lowest.eq(way)
        m.d.sync += Assert(~(mine & current.any()) | (dut.pick_way == lowest), "the lowest one left")


@pytest.mark.parametrize("watched", range(GEOMETRY.sets))
def test_pipelines_are_sequential(watched, tmp_path):
    induct(PipelinesAreSequential(GEOMETRY, watched), tmp_path / "prove", cycles=2)
    cover(PipelinesAreSequential(GEOMETRY, watched), tmp_path / "cover", cycles=24)


MUTANTS = {
    "the update right ahead is overlooked": ("Mux(same[3][0], now, chosen_state)", "chosen_state"),
    "the update two ahead is overlooked": ("(3, past[0]), (2, now)", "(3, past[0])"),
    "the update three ahead is overlooked": ("(4, past[1]), (3, past[0]), (2, now)", "(4, past[1]), (2, now)"),
    "the update four ahead is overlooked": ("(4, past[1]), (3, past[0])", "(3, past[0])"),
    "of two updates ahead the older one counts": (
        "((4, past[1]), (3, past[0]), (2, now))",
        "((2, now), (3, past[0]), (4, past[1]))",
    ),
    "another key of the set does not wait": ("& (ahead.set == came_set) & (ahead.tag", "& 0 & (ahead.tag"),
    "an update waits for a cycle only": ("m.d.sync += waits.eq(waits << 1)", "m.d.sync += waits.eq(0)"),
    "a key that is being taken in is not known": ("select_one(follows[3], [past.way for past in outcomes])", "0"),
    "a key that was not taken in is known": ("select_one(follows[3], [past.unknown for past in outcomes])", "0"),
    "a key is taken in twice": ("chooses.eq(chosen.valid & ~follows[3].any()", "chooses.eq(chosen.valid"),
    "an update is read while a tag is written": ("~waits.any() & ~inserts)", "~waits.any())"),
    "whether the set is due is not kept": ("now.due.eq(update.due_after)", "now.due.eq(written_state.due)"),
    "weight zero learns": ("self.update_valid & self.update_weight.any()", "self.update_valid"),
    "the victim may be hot": ("usable & ~read_hot", "usable"),
    "what was emptied is known": ("for part in parts) & read_state.valid", "for part in parts)"),
    "cold entries hit": ("for part in parts) & hot_ways", "for part in parts)"),
    "the slot of a row that becomes cold is lost": ("self.entry_write & self.make_hot", "self.entry_write"),
    "an entry that was taken is offered again": ("current.bit_select(self.row_way, 1).eq(0)", "current.eq(current)"),
    "what is cleared stays hot": ("self.make_hot & ~clears", "self.make_hot"),
    "a written entry is cold": ("Cat(self.tag_in, self.make_hot & ~clears)", "self.tag_in"),
    "the tag of the way that is asked for now": ("m.Switch(shown_way)", "m.Switch(self.row_way)"),
}

# These take longest, and each has a sibling that breaks the same part.
SLOW = {
    "the update three ahead is overlooked", "the update four ahead is overlooked", "a key is taken in twice",
    "of two updates ahead the older one counts", "whether the set is due is not kept",
}  # fmt: skip


@pytest.mark.parametrize(
    "mutant", [pytest.param(name, marks=[pytest.mark.slow] if name in SLOW else []) for name in MUTANTS]
)
def test_every_part_of_the_tracker_is_needed(mutant, tmp_path):
    broken = mutated(SampleAwareTracker, *MUTANTS[mutant])
    with pytest.raises(PropertyFailed):
        check(PipelinesAreSequential(GEOMETRY, 0, broken), tmp_path, cycles=14)
