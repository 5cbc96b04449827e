"""Planner against a plain-Python model: every row has one home, and its value follows wherever the plan moves it."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hotline_host.plan import Moves, Split, WorkingSet
from hotline_host.pool.planner import Planner, PoolShape, StepPlan
from hotline_host.pool.rows import OwnershipError, TableRows

ROWS = np.array([5, 1, 9])
KEYS = int(ROWS.sum())
TABLE_OF = np.repeat(np.arange(3), ROWS)
ROW_OF = np.concatenate([np.arange(rows) for rows in ROWS])
SHAPE = PoolShape(hot_rows=5, working_rows=20)
NOWHERE = -1
"""What storage holds that owns no row. Values of rows are 0 and more."""


def moves_of(changes: list[tuple[int, int, int]]) -> Moves:
    """Of (slot, the key that takes it, the key that leaves it or -1)."""
    slots, comes, leaves = np.array(changes, np.int64).reshape(-1, 3).T
    left = leaves >= 0
    return Moves(
        slots, TABLE_OF[comes], ROW_OF[comes], np.where(left, TABLE_OF[leaves], -1), np.where(left, ROW_OF[leaves], -1),
        hot_count=0, threshold=0, idle=0, recent=0,
    )  # fmt: skip


def split_of(lookups: list[int], slot_of: dict[int, int], listed: list[int] | None, held: int) -> Split:
    """A mini-batch of one sample. `listed`: the unique cold rows, the last `held` of which cannot be gathered."""
    slots = np.array([slot_of.get(key, -1) for key in lookups], np.int32)
    if listed is None:
        return Split(np.array([False]), slots)
    places = np.array([-1 if key in slot_of else listed.index(key) for key in lookups], np.int32)
    return Split(np.array([False]), slots, WorkingSet(places, TABLE_OF[listed], ROW_OF[listed], held))


@dataclass
class Step:
    """A mini-batch: what the splitter says, and the hot rows from it on."""

    lookups: list[int]
    moves: list[tuple[int, int, int]]
    slot_of: dict[int, int]
    listed: list[int] | None
    held: int

    @property
    def keys(self) -> np.ndarray:
        return np.array(self.lookups, np.int32)

    @property
    def split(self) -> Split:
        return split_of(self.lookups, self.slot_of, self.listed, self.held)


@st.composite
def sequences(draw: st.DrawFn) -> tuple[dict[int, int], list[Step]]:
    """Hot rows at first, and mini-batches. Few rows, so that nearly all that can happen to a row does."""
    keys = st.integers(0, KEYS - 1)
    slots = draw(st.permutations(range(SHAPE.hot_rows)))
    first = dict(zip(draw(st.lists(keys, unique=True, max_size=SHAPE.hot_rows)), slots, strict=False))
    steps, slot_of = [], dict(first)
    for _ in range(draw(st.integers(1, 8))):
        key_in = {slot: key for key, slot in slot_of.items()}
        taken = (
            draw(st.lists(st.integers(0, SHAPE.hot_rows - 1), unique=True, max_size=4)) if draw(st.booleans()) else []
        )
        left = {key_in[slot] for slot in taken if slot in key_in}
        moves: list[tuple[int, int, int]] = []
        for slot in taken:  # any row that is cold now or leaves its slot, but for the slot that it is in
            may = [
                key for key in range(KEYS)
                if (key not in slot_of or key in left) and slot_of.get(key) != slot
                and key not in [come for _, come, _ in moves]
            ]  # fmt: skip
            moves.append((slot, draw(st.sampled_from(may)), key_in.get(slot, -1)))
        slot_of = {key: slot for key, slot in slot_of.items() if slot not in taken}
        slot_of |= {come: slot for slot, come, _ in moves}
        lookups = draw(st.lists(keys, max_size=14))
        cold = sorted({key for key in lookups if key not in slot_of})
        listed = draw(st.permutations(cold)) if draw(st.integers(0, 5)) else None
        held = draw(st.integers(0, len(cold)))
        steps.append(Step(lookups, moves, dict(slot_of), listed, held))
    return first, steps


class Memories:
    """Host memory and the pool, with one number in the place of each row. Plans are carried out as they say.

    Mini-batch i is gathered before the step of mini-batch i - 1, so the host's values may be of before that.
    """

    def __init__(self, planner: Planner, hot: dict[int, int]) -> None:
        self.planner = planner
        self.truth = np.arange(KEYS) * 100
        self.host, self.pool = self.truth.copy(), np.full(SHAPE.rows, NOWHERE)
        for key, slot in hot.items():
            self.pool[slot], self.host[key] = self.host[key], NOWHERE
        self.returned = np.full((2, SHAPE.working_rows), NOWHERE)
        self.back: dict[int, StepPlan] = {}  # by the mini-batch whose rows go back
        self.waiting: tuple[StepPlan, np.ndarray, np.ndarray] | None = None

    def prepare(self, plan: StepPlan, keys: np.ndarray) -> None:
        self.back[plan.number - 1] = plan
        self.write_back(plan.number - 2)
        gathered = self.host[np.concatenate([plan.keys[: plan.free], plan.fetched]).astype(np.int64)]
        self.launch()
        self.waiting = plan, keys, gathered

    def write_back(self, number: int) -> None:
        if number in self.back:
            plan = self.back.pop(number)
            self.host[plan.back_keys] = self.returned[1 - plan.half][plan.back]

    def launch(self) -> None:
        """The step of the mini-batch that was gathered last."""
        if self.waiting is None:
            return
        plan, keys, gathered = self.waiting
        self.waiting = None
        begin = SHAPE.begin(plan.half)
        half = slice(begin, begin + SHAPE.working_rows)
        self.pool[half] = NOWHERE
        self.pool[begin : begin + plan.copied_in] = gathered
        self.host[np.concatenate([plan.keys[: plan.free], plan.fetched]).astype(np.int64)] = NOWHERE
        assert len(set(plan.target.tolist())) == len(plan.target) and SHAPE.zero not in plan.target
        self.pool[plan.target] = self.pool[plan.source]
        np.testing.assert_array_equal(self.pool[plan.ids], self.truth[keys])
        self.truth[keys] += 1
        self.pool[plan.ids] = self.truth[keys]
        self.returned[plan.half, : len(plan.keys)] = self.pool[begin : begin + len(plan.keys)]

    def finish(self) -> None:
        self.launch()
        self.write_back(self.planner.number - 2)


def open_planner(hot: dict[int, int]) -> Planner:
    planner = Planner(TableRows(ROWS), SHAPE)
    planner.place(np.array(list(hot), np.int64), np.array(list(hot.values()), np.int64))
    return planner


def state(planner: Planner) -> list:
    return [planner.key_at.tolist(), planner.number, list(planner._used), planner._owner.tolist()]


@settings(deadline=None, max_examples=400)
@given(sequences())
def test_every_row_has_one_home_and_its_value_follows(sequence: tuple[dict[int, int], list[Step]]) -> None:
    hot, steps = sequence
    planner = open_planner(hot)
    memories = Memories(planner, hot)
    for number, step in enumerate(steps):
        plan = planner.plan(step.split, step.keys, moves_of(step.moves) if step.moves else None)
        assert (plan.number, plan.half, planner.number) == (number, number % 2, number + 1)
        assert plan.ids.dtype == plan.source.dtype == plan.target.dtype == np.int32
        slots = [step.slot_of.get(key) for key in step.lookups]
        begin = SHAPE.begin(plan.half)
        for slot, at in zip(slots, plan.ids, strict=True):
            assert at == slot if slot is not None else begin <= at < begin + len(plan.keys)
        np.testing.assert_array_equal(planner.key_at[plan.ids], step.keys)
        if step.listed is not None:
            assert plan.keys[: plan.free].tolist() == step.listed[: plan.free], "the order of the accelerator"
            assert plan.free == len(step.listed) - step.held
        else:
            assert plan.free == 0
        memories.prepare(plan, step.keys)
    memories.finish()
    before = SHAPE.begin(planner.number % 2)  # of the mini-batch before the last, whose rows have moved on or gone back
    places = np.setdiff1d(np.flatnonzero(planner.key_at >= 0), np.arange(before, before + SHAPE.working_rows))
    here = planner.key_at[places]
    assert len(set(here.tolist())) == len(here), "no row has two places"
    np.testing.assert_array_equal(memories.pool[places], memories.truth[here])
    away = np.setdiff1d(np.arange(KEYS), here)
    np.testing.assert_array_equal(memories.host[away], memories.truth[away])
    slot_of = steps[-1].slot_of
    assert {int(key): slot for slot, key in enumerate(planner.key_at[: SHAPE.hot_rows]) if key >= 0} == slot_of


@settings(deadline=None, max_examples=200)
@given(sequences(), st.data())
def test_what_is_wrong_raises_and_changes_nothing(sequence: tuple[dict[int, int], list[Step]], data) -> None:
    hot, steps = sequence
    planner = open_planner(hot)
    for step in steps:
        split, before = step.split, state(planner)
        good = moves_of(step.moves)
        wrongs: list[tuple[Split, Moves]] = []
        if step.lookups:
            at = data.draw(st.integers(0, len(step.lookups) - 1))
            slots = split.slots.copy()
            slots[at] = data.draw(st.sampled_from([s for s in range(-1, SHAPE.hot_rows + 1) if s != slots[at]]))
            wrongs.append((replace(split, slots=slots), good))
            if split.working is not None and split.slots[at] < 0:
                places, listed = split.working.places.copy(), len(split.working)
                places[at] = data.draw(st.sampled_from([p for p in range(-1, listed + 1) if p != places[at]]))
                wrongs.append((replace(split, working=replace(split.working, places=places)), good))
        for at in range(len(good)):
            leaves = [key for key in range(-1, KEYS) if key != step.moves[at][2]]
            left = list(step.moves)
            left[at] = (*step.moves[at][:2], data.draw(st.sampled_from(leaves)))
            wrongs += [(split, moves_of(left)), (split, moves_of([*step.moves, step.moves[at]]))]
        for wrong, moves in wrongs:
            with pytest.raises(OwnershipError):
                planner.plan(wrong, step.keys, moves if len(moves) else None)
            assert state(planner) == before
        planner.plan(split, step.keys, good if len(good) else None)


HOT = {3: 0, 6: 2}
"""Row 3 of table 0 is in slot 0, row 0 of table 2 in slot 2. The other slots are free."""


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (
            [(0, 5, 4)],
            OwnershipError,
            "move 0: slot 0 is taken to hold row 4 of table 0, but it holds row 3 of table 0",
        ),
        ([(0, 5, -1)], OwnershipError, "move 0: slot 0 is taken to hold no row, but it holds row 3 of table 0"),
        (
            [(2, 5, 6), (1, 7, 3)],
            OwnershipError,
            "move 1: slot 1 is taken to hold row 3 of table 0, but it holds no row",
        ),
        ([(1, 5, -1), (1, 7, -1)], OwnershipError, "slot 1 is taken twice"),
        ([(1, 5, -1), (3, 5, -1)], OwnershipError, "row 0 of table 1 is given two slots; a row has one owner"),
        ([(1, 3, -1)], OwnershipError, "move 0: row 3 of table 0 is taken to be cold, but it is hot in slot 0"),
        ([(0, 3, 3)], OwnershipError, None),
        ([(5, 7, -1)], IndexError, "slot 5 is outside the hot table of 5 rows"),
        ([(-1, 7, -1)], IndexError, "slot -1 is outside the hot table of 5 rows"),
    ],
)
def test_moves_that_are_not_so(changes, error: type[Exception], message: str | None) -> None:
    planner = open_planner(HOT)
    before = state(planner)
    if message is None:  # a row that leaves its slot and takes it again has not moved
        planner.plan(split_of([3], {3: 0}, [], 0), np.array([3]), moves_of(changes))
        assert planner.key_at[: SHAPE.hot_rows].tolist() == [3, -1, 6, -1, -1]
        return
    with pytest.raises(error, match=message):
        planner.plan(split_of([], {}, [], 0), np.empty(0, np.int32), moves_of(changes))
    assert state(planner) == before


def plan_one(planner: Planner, keys: list[int], split: Split, changes: list | None = None) -> StepPlan:
    return planner.plan(split, np.array(keys, np.int32), moves_of(changes) if changes else None)


@pytest.mark.parametrize(
    ("keys", "slots", "listed", "places", "message"),
    [
        ([3, 7], [2, -1], [7], [-1, 0], "lookup 0: row 3 of table 0 is taken to be hot in slot 2, but that slot"),
        ([7], [1], [], [-1], "lookup 0: row 1 of table 2 is taken to be hot in slot 1, but that slot holds no row"),
        ([7], [5], [], [-1], "lookup 0: row 1 of table 2 is said to be in slot 5 of 5"),
        ([7, 8], [-1, -1], [7, 8], [0, 0], "lookup 1: row 2 of table 2 is cold, and the place among the working rows"),
        ([7], [-1], [7], [-1], "lookup 0: row 1 of table 2 is cold, and the place among the working rows"),
        ([7], [-1], [7], [1], "lookup 0: row 1 of table 2 is cold, and the place among the working rows"),
        ([3], [-1], [3], [0], "row 3 of table 0 is taken to be cold, but it is hot in slot 0"),
        ([7], [-1], [7, 7], [0], "row 1 of table 2 is listed twice among the cold rows"),
    ],
)  # fmt: skip
def test_lookups_that_are_elsewhere(keys, slots, listed, places, message: str) -> None:
    planner = open_planner(HOT)
    before = state(planner)
    working = WorkingSet(np.array(places, np.int32), TABLE_OF[listed], ROW_OF[listed], 0)
    split = Split(np.array([False]), np.array(slots, np.int32), working)
    with pytest.raises(OwnershipError, match=message):
        plan_one(planner, keys, split)
    assert state(planner) == before


def test_a_hot_row_that_is_said_to_be_cold_without_a_list() -> None:
    planner = open_planner(HOT)
    split = Split(np.array([False]), np.array([-1, -1], np.int32))
    with pytest.raises(OwnershipError, match="row 3 of table 0 is taken to be cold, but it is hot in slot 0"):
        plan_one(planner, [7, 3], split)


def test_hot_and_cold_are_those_after_the_moves() -> None:
    """Row 3 leaves slot 0 to row 7. Errors name what is there then."""
    planner, change = open_planner(HOT), [(0, 7, 3)]
    before = state(planner)
    with pytest.raises(
        OwnershipError, match="row 3 of table 0 is taken to be hot in slot 0, but that slot holds row 1 of"
    ):
        plan_one(planner, [3], split_of([3], HOT, [], 0), change)
    with pytest.raises(OwnershipError, match="row 1 of table 2 is taken to be cold, but it becomes hot"):
        plan_one(planner, [7], split_of([7], {}, [7], 0), change)
    assert state(planner) == before
    plan = plan_one(planner, [7, 3], split_of([7, 3], {7: 0}, [3], 0), change)
    assert plan.ids.tolist() == [0, SHAPE.begin(0)] and plan.comes.tolist() == [7] and plan.slots.tolist() == [0]


def test_lengths() -> None:
    planner = open_planner(HOT)
    good = split_of([7, 3], HOT, [7], 0)
    with pytest.raises(ValueError, match=r"slots is \(2,\); it must be \(3,\), one for each lookup"):
        plan_one(planner, [7, 3, 3], good)
    with pytest.raises(ValueError, match=r"places is \(1,\); it must be \(2,\), one for each lookup"):
        plan_one(planner, [7, 3], replace(good, working=replace(good.working, places=good.working.places[:1])))
    with pytest.raises(ValueError, match="2 of 1 cold rows are said to be held"):
        plan_one(planner, [7, 3], replace(good, working=replace(good.working, held=2)))
    assert planner.number == 0


def test_more_rows_than_a_half_has_places_for() -> None:
    planner = Planner(TableRows(ROWS), PoolShape(hot_rows=2, working_rows=3))
    before = state(planner)
    with pytest.raises(ValueError, match="the mini-batch needs 4 places of a half that has 3"):
        plan_one(planner, [1, 2, 3, 4], split_of([1, 2, 3, 4], {}, [1, 2, 3, 4], 0))
    assert state(planner) == before


@pytest.mark.parametrize(
    ("keys", "slots", "error", "message"),
    [
        ([5, 5], [1, 2], OwnershipError, "row 0 of table 1 is given two slots; a row has one owner"),
        ([5, 6], [2, 2], OwnershipError, "slot 2 is named twice"),
        ([5], [5], IndexError, "slot 5 is outside the hot table of 5 rows"),
        ([KEYS], [1], IndexError, "key 15 is none of the 15 rows"),
        ([-1], [1], IndexError, "key -1 is none of the 15 rows"),
        ([5, 6], [1], ValueError, "equally long"),
    ],
)
def test_a_placement_that_is_wrong(keys, slots, error: type[Exception], message: str) -> None:
    planner = open_planner(HOT)
    before = state(planner)
    with pytest.raises(error, match=message):
        planner.place(np.array(keys), np.array(slots))
    assert state(planner) == before


def test_a_placement_and_forgetting_leave_no_working_rows() -> None:
    planner = open_planner(HOT)
    plan_one(planner, [7, 8], split_of([7, 8], HOT, [7, 8], 0))
    planner.forget()
    assert np.flatnonzero(planner.key_at >= 0).tolist() == [0, 2]
    plan = plan_one(planner, [7, 8], split_of([7, 8], HOT, [7, 8], 2))
    assert plan.fetched.tolist() == [7, 8] and not len(plan.source) and not plan.held and not len(plan.back)
    planner.place(np.array([8]), np.array([0]))
    assert planner.key_at[0] == 8 and (planner.key_at >= 0).sum() == 1
    plan = plan_one(planner, [3, 8], split_of([3, 8], {8: 0}, [3], 0))
    assert plan.ids.tolist() == [SHAPE.begin(plan.half), 0]


# What the head of the file draws


def test_a_half_in_its_order() -> None:
    """Free, fetched, held, evicted: and the copies between the two halves and the slots."""
    planner = open_planner(HOT)
    first = plan_one(planner, [7, 8], split_of([7, 8], HOT, [7, 8], 0))
    assert first.free == 2 and first.copied_in == 2 and first.keys.tolist() == [7, 8] and not len(first.source)
    # 9 becomes hot in slot 0, and 3 leaves it; 7 becomes hot in slot 1. 8 is held, 10 is free, 11 is of unknown home.
    slot_of = {9: 0, 7: 1, 6: 2}
    second = plan_one(
        planner, [10, 11, 8, 9, 7, 6], split_of([10, 11, 8, 9, 7, 6], slot_of, [10, 11, 8], 2), [(0, 9, 3), (1, 7, -1)]
    )
    even, odd = SHAPE.begin(0), SHAPE.begin(1)
    assert (second.free, second.fetched.tolist(), second.held) == (1, [11, 9], 1)
    assert second.keys.tolist() == [10, 11, -1, 8, 3] and second.copied_in == 3
    copies = dict(zip(second.target.tolist(), second.source.tolist(), strict=True))
    assert copies == {0: odd + 2, 1: even, odd + 3: even + 1, odd + 4: 0}
    assert second.ids.tolist() == [odd, odd + 1, odd + 3, 0, 1, 2] and not len(second.back)
    third = plan_one(
        planner, [3], split_of([3], slot_of, [3], 0)
    )  # the accelerator takes the evicted row to be at home
    assert third.free == 1 and third.source.tolist() == [odd + 4] and third.target.tolist() == [even]
    assert sorted(third.back_keys.tolist()) == [8, 10, 11] and sorted(third.back.tolist()) == [0, 1, 3]


def test_all_rows_in_the_slots_of_their_keys() -> None:
    one, other = (Planner(TableRows(ROWS), PoolShape(hot_rows=KEYS, working_rows=0)) for _ in range(2))
    one.place_all()
    other.place(np.arange(KEYS), np.arange(KEYS))
    np.testing.assert_array_equal(one.key_at, other.key_at)
    np.testing.assert_array_equal(one._owner, other._owner)
