"""What each stage of the tracker holds of the watched set. So the proof in test_sample_aware.py is one by induction."""

from __future__ import annotations

from types import SimpleNamespace

from amaranth.hdl import Array, Cat, Module, Mux, Signal, Value
from amaranth.lib import data

from hotline_hw.core.bank.counter_update import is_due, rank_pairs, set_state
from hotline_hw.core.layouts import select_one
from hotline_hw.spec.params import Geometry
from tests.formal.inside import Claims

__all__ = ["Stages"]


class Stages(Claims):
    """Adds assertions to a module.

    Args:
        updates, lookups: The local signals of the tracker's methods of these names (`keep_signals`).
        row: The watched set as it is when all updates that have left the pipeline are done.
        watched: The watched set's number.
        below, ways_in_use: Whether it is below the budget's boundary, and the ways of a set that is and that is not.
        age_period, row_access: As in the tracker.
    """

    def __init__(
        self, m: Module, g: Geometry, row: data.View, watched: int, below: Value, ways_in_use: tuple, age_period: Value,
        row_access: Value, updates: SimpleNamespace, lookups: SimpleNamespace,
    ) -> None:  # fmt: skip
        super().__init__(m)
        self.g, self.row, self.watched = g, row, watched
        self.usable = Mux(below, *ways_in_use)
        self.ways_in_use, self.age_period, self.u, self.l = ways_in_use, age_period, updates, lookups
        self.ways = range(g.ways)
        # The pipeline, and behind it what left it in the last three cycles.
        gone = [Signal(updates.flight, name=f"gone{ago}") for ago in (1, 2, 3)]
        self.stages = [*updates.stages[1:], *gone]
        m.d.sync += [later.eq(before) for before, later in zip([updates.written, *gone], gone, strict=False)]
        with m.If(row_access):  # nothing is under way then, so it is forgotten
            m.d.sync += [item.valid.eq(0) for item in gone]

    def mine(self, item: data.View) -> Value:
        return item.valid & (item.set == self.watched)

    def match(self, tag: Value) -> Value:
        """The way of the watched set (one-hot) that has an entry of the tag."""
        return Cat(self.row.valid[way] & (self.row.tag[way] == tag) for way in self.ways)

    def same_state(self, state: Value, other: data.View) -> Value:
        view = data.View(set_state(self.g), state)
        row = [other.valid, other.referenced, other.age, *(other.counter[way] for way in self.ways)]
        return view.as_value() == Cat(row)

    def same_cold(self, state: Value) -> Value:
        """What updates that wait for each other compare: the ways that may be driven out."""
        view, row = data.View(set_state(self.g), state), self.row
        return Cat(
            ~self.usable[way] | row.hot[way]
            | ((view.valid[way] == row.valid[way]) & (view.counters[way] == row.counter[way]))
            for way in self.ways
        ).all()  # fmt: skip

    def same_flights(self, updates: list, held: Value, looking: Value, newest: data.View, set_mask: Value) -> None:
        """The reference follows the same updates and lookups. `newest` is the newest lookup."""
        for index in range(5):
            self.hold((held <= index) | ~self.stages[index].valid, f"{index}: nobody is behind an update that waits")
        for index, (item, ours) in enumerate(zip((self.u.entry, *self.stages), updates, strict=False)):
            equal = (item.tag == ours.tag) & (item.weight == ours.weight) & (item.weight != 0)
            self.hold((item.valid == ours.valid) & (~item.valid | equal), f"{index}: an update in flight")
        for index, item in enumerate((self.u.entry, *self.stages)):
            right = item.set == (item.tag & set_mask)[: self.g.set_bits]
            self.hold(~item.valid | right, f"{index}: the set is its tag's")
        self.hold(self.l.valid == looking, "lookups in flight")
        first = self.l.stages[0]
        right = (first.tag == newest.tag) & (first.set == (newest.tag & set_mask)[: self.g.set_bits])
        self.hold((looking[0] == newest.valid) & (~newest.valid | right), "the newest lookup")

    def state(self) -> None:
        """All about the way of an update."""
        u, row, stages = self.u, self.row, self.stages
        written_mine = self.mine(u.written)
        for index, item in enumerate((u.entry, *stages[:5])):
            hot = (self.match(item.tag) & row.hot).any()
            self.hold(~self.mine(item) | ~item.hot | hot, f"{index}: what is said to be hot is")
        for index in range(5):
            waits = (
                stages[index].valid & ~stages[index].hot & ~u.entry.hot
                & (stages[index].set == u.entry.set) & (stages[index].tag != u.entry.tag)
            )  # fmt: skip
            self.hold(~u.entry.valid | (u.waits[index] == waits), f"{index}: whom the entry waits for")
        for high in range(len(stages)):
            for low in range(max(0, high - 4), high):
                both = [self.mine(item) & ~item.hot for item in (stages[low], stages[high])]
                one_key = stages[low].tag == stages[high].tag
                self.hold(~both[0] | ~both[1] | one_key, f"{low}, {high}: cold updates of a set have one key")
        for index, (same, follows) in enumerate(zip(u.same, u.follows, strict=True)):
            item = stages[index]
            for distance in range(1, 5):
                ahead = stages[index + distance]
                self.hold(
                    ~self.mine(item) | (same[distance - 1] == (ahead.valid & (ahead.set == item.set))),
                    f"{index}, {distance}: the same set",
                )
                one_key = ahead.valid & ~ahead.hot & ~item.hot & (ahead.tag == item.tag)
                self.hold(~self.mine(item) | (follows[distance - 1] == one_key), f"{index}, {distance}: the same key")
        for ago, value in enumerate(u.past):
            gone = stages[5 + ago]
            newer = Cat(self.mine(item) for item in stages[5 : 5 + ago]).any()
            right = self.same_state(value.state, row) & (value.due == is_due(row.age, self.age_period))
            self.hold(~self.mine(gone) | newer | right, f"{ago}: what was written")
        none_free = (self.usable & ~row.hot) == 0
        for ago, outcome in enumerate(u.outcomes[1:]):
            gone = stages[5 + ago]
            match = self.match(gone.tag)
            unknown = outcome.unknown == ~match.any()
            right = (outcome.way == match) & unknown & (~outcome.unknown | none_free)
            # It stands until another cold update comes.
            later = Cat(self.mine(item) & ~item.hot & (item.tag != gone.tag) for item in stages[5 : 5 + ago]).any()
            self.hold(~self.mine(gone) | gone.hot | later | right, f"{ago}: what became of it")
        self._latched()
        self._compared()
        self._ranked(written_mine)
        self._chosen(written_mine)
        self._written(written_mine)

    def _alone(self, item: data.View, follows: Value) -> Value:
        """A cold update that decides for itself. No cold one of its set is ahead."""
        return self.mine(item) & ~item.hot & ~follows.any()

    def _tags(self, name: str, item: data.View, follows: Value, words: list, valid: Value) -> None:
        equal = Cat(word == item.tag for word in words) & valid
        self.hold(
            ~self.mine(item) | follows.any() | (equal == self.match(item.tag)), f"{name}: the way that has the key"
        )

    def _latched(self) -> None:
        u = self.u
        self._tags("latched", u.latched, u.follows[0], [port.data[:-1] for port in u.tag_reads], self.row.valid)
        hot = Cat(port.data[-1] for port in u.tag_reads)
        self.hold(~self.mine(u.latched) | (hot == self.row.hot), "latched: hot ways")

    def _compared(self) -> None:
        u = self.u
        state = u.state_read.data
        valid = data.View(set_state(self.g), state).valid
        self._tags("compared", u.compared, u.follows[1], u.words, valid)
        mine = self.mine(u.compared)
        self.hold(~mine | (Mux(u.below, *self.ways_in_use) == self.usable), "compared: ways in the budget")
        self.hold(~self._alone(u.compared, u.follows[1]) | self.same_cold(state), "compared: cold ways")
        self.hold(~mine | (u.hot_word == self.row.hot), "compared: hot ways")
        newer = self.mine(u.written) | u.same[1][3]
        self.hold(~mine | newer | self.same_state(state, self.row), "compared: the state read")

    def _ranked(self, written_mine: Value) -> None:
        u = self.u
        ranked = self.stages[2]
        mine = self.mine(ranked)
        equal = Cat(part.all() for part in u.parts) & u.read_state.valid
        self.hold(~mine | u.follows[2].any() | (equal == self.match(ranked.tag)), "ranked: the way that has the key")
        self.hold(~self._alone(ranked, u.follows[2]) | self.same_cold(u.read_state), "ranked: cold ways")
        self.hold(~mine | (u.read_hot == self.row.hot), "ranked: hot ways")
        self.hold(~mine | (u.usable == self.usable), "ranked: ways in the budget")
        newer = written_mine | u.same[2][2] | u.same[2][3]
        self.hold(~mine | newer | self.same_state(u.read_state, self.row), "ranked: the state read")

    def _chosen(self, written_mine: Value) -> None:
        u = self.u
        mine = self.mine(u.chosen)
        self.hold(
            ~mine | u.follows[3].any() | (u.known == self.match(u.chosen.tag)), "chosen: the way that has the key"
        )
        self.hold(~mine | (u.hot == self.row.hot), "chosen: hot ways")
        self.hold(~mine | (u.candidates == (self.usable & ~self.row.hot)), "chosen: candidates")
        state = Signal(set_state(self.g), name="row_state")
        self.m.d.comb += Cat(state.valid, state.referenced, state.age, *(state.counters[way] for way in self.ways)).eq(
            Cat(self.row.valid, self.row.referenced, self.row.age, *(self.row.counter[way] for way in self.ways))
        )
        due = rank_pairs(state, self.g.ways)
        index = 0
        for high in self.ways:
            for low in range(high):
                both = u.candidates[low] & u.candidates[high]
                right = u.ranks[index] == due[index]
                self.hold(~self._alone(u.chosen, u.follows[3]) | ~both | right, f"chosen: ways {low} and {high}")
                index += 1
        right = self.same_state(u.chosen_state.state, self.row) & (
            u.chosen_state.due == is_due(self.row.age, self.age_period)
        )
        self.hold(~mine | written_mine | right, "chosen: the state")

    def _written(self, mine: Value) -> None:
        u, row = self.u, self.row
        match = self.match(u.written.tag)
        candidates = self.usable & ~row.hot
        self.hold(u.inserts == u.fill.any(), "written: a fill is an insert")
        self.hold(u.written.valid | ~u.inserts, "written: an insert is an update")
        self.hold(~mine | (u.hit == match), "written: the way that has the key")
        self.hold(~mine | (u.unknown == ~match.any()), "written: whether there is one")
        self.hold(~mine | (u.inserts == (~match.any() & candidates.any())), "written: whether it is taken in")
        self.hold(~mine | self.same_state(u.written_state.state, row), "written: the state")
        due = is_due(row.age, self.age_period)
        self.hold(~mine | (u.written_state.due == due), "written: whether it is due to age")
        self.hold(~mine | (u.ages == (due & u.unknown)), "written: whether it ages")
        self.hold(~mine | (u.written_hot == row.hot), "written: hot ways")

    def lookups(self, later: list, slots: Array) -> None:
        """All about the way of a lookup. `later` is what is expected of it, in the second stage and behind."""
        lookups, row = self.l, self.row
        tags = [stage.tag for stage in lookups.stages]
        words = [
            Cat((port.data[:-1] == tags[0]) & port.data[-1] for port in lookups.tag_reads),
            Cat(word == tags[1] for word in lookups.words) & lookups.hot_word,
            Cat(part.all() for part in lookups.parts) & lookups.hot_ways,
            lookups.hit_ways,
        ]
        for index, found in enumerate(words):
            mine = (lookups.valid[index]) & (lookups.stages[index].set == self.watched)
            hits = self.match(tags[index]) & row.hot
            self.hold(~mine | (found == hits), f"lookup, {index}: the way that hits")
            if index:
                expected = later[index - 1]
                slot = select_one(hits, [slots[way] for way in self.ways])
                right = (expected.hit == hits.any()) & (~expected.hit | (expected.slot == slot))
                self.hold(expected.mine == mine, f"lookup, {index}: of the watched set")
                self.hold(~mine | right, f"lookup, {index}: what is expected")
        last = later[3]
        right = (lookups.slot_hit == last.hit) & (~last.hit | (lookups.slot_read.data == last.slot))
        self.hold(~last.mine | (lookups.valid[4] & right), "lookup: the slot read")
