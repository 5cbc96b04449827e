"""Exactness: a step over the pool equals the ordinary step, which equals plain autograd over full tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hotline_host.data.log import Batch
from hotline_host.driver.driver import Driver, Policy
from hotline_host.plan import Moves, Split
from hotline_host.pool.rows import OwnershipError
from hotline_host.splitters.row_places import RowPlaces
from hotline_host.training.dlrm import ModelConfig
from hotline_host.training.inputs import StepSize
from hotline_host.training.ordinary import OrdinaryTrainer
from hotline_host.training.pool_trainer import PoolTrainer
from hotline_host.training.trainer import TrainConfig, max_parameter_difference
from hotline_hw.spec.params import preset
from hotline_sim.model.device import ModelDevice
from tests.support.gathering_runs import ordinary_step

ROWS = np.array([40, 7, 300, 1])
KEYS = int(ROWS.sum())
TABLE_OF = np.repeat(np.arange(len(ROWS)), ROWS)
ROW_OF = np.concatenate([np.arange(rows) for rows in ROWS])
SAMPLES, MOVES = 48, 16
STEPS = 20
EXACT = 1e-12
SCHEDULES = pytest.mark.parametrize("schedule", ["pool", "split"])


def config(optimizer: str = "adagrad", dense_features: int = 3) -> TrainConfig:
    model = ModelConfig(dimension=8, bottom=(16,), top=(16, 8))
    return TrainConfig(model, dense_features, optimizer, rate=0.05 if optimizer == "adagrad" else 0.5)


def size(dense_features: int = 3) -> StepSize:
    return StepSize(SAMPLES, 3 * SAMPLES * len(ROWS), len(ROWS), dense_features, MOVES)


def ordinary_trainer(kind: TrainConfig | None = None, rows: np.ndarray = ROWS, **settings: object) -> OrdinaryTrainer:
    kind = kind or config()
    return OrdinaryTrainer(kind, rows, size(kind.dense_features), **settings)


def pool_trainer(kind: TrainConfig | None = None, hot_rows: int = KEYS, **settings: object) -> PoolTrainer:
    kind = kind or config()
    return PoolTrainer(kind, ROWS, hot_rows, size(kind.dense_features), **{"check": True} | settings)


def pool_step(trainer: PoolTrainer, batch: Batch, split: Split, moves: Moves | None = None, *, schedule: str) -> float:
    """One step, without anything beside it. Returns its loss."""
    plan = trainer.plan(batch, split, moves)
    trainer.bring_back(plan.number - 2)
    trainer.pack(batch, plan, split.popular if schedule == "split" else None)
    if schedule == "split":
        trainer.launch_popular(plan)
    trainer.pool.fetch(plan.half, 0, plan.keys[: plan.free])
    trainer.pool.fetch(plan.half, plan.free, plan.fetched)
    if schedule == "split":
        trainer.launch_rest(plan)
    else:
        trainer.launch(plan)
    return float(trainer.losses()[0])


def make_batch(rng: np.random.Generator, *, multi_hot: bool, samples: int = 48, dense_features: int = 3) -> Batch:
    """Skewed rows, so that rows repeat within a bag and across samples. The multi-hot bags hold 0 to 3 lookups."""
    lengths = rng.integers(0, 4, (samples, len(ROWS))) if multi_hot else np.ones((samples, len(ROWS)), dtype=np.int64)
    tables = np.repeat(np.tile(np.arange(len(ROWS)), samples), lengths.ravel())
    indices = (ROWS[tables] * rng.random(len(tables)) ** 3).astype(np.int64)
    dense = rng.standard_normal((samples, dense_features)).astype(np.float32)
    return Batch(indices, lengths, dense, (rng.random(samples) < 0.4).astype(np.float32))


def hot_set(rng: np.random.Generator, hot: str) -> tuple[np.ndarray, np.ndarray]:
    """Keys and slots: of no row, every row, or the head of each table and a few others. Each call chooses anew."""
    if hot == "none":
        keys = np.empty(0, dtype=np.int64)
    elif hot == "all":
        keys = np.arange(KEYS)
    else:
        keys = np.flatnonzero(rng.random(KEYS) < np.where(ROW_OF < 0.2 * ROWS[TABLE_OF], 0.95, 0.3))
    return keys, rng.permutation(KEYS)[: len(keys)]


class Splitter:
    """What an accelerator would answer for the hot set in place."""

    def __init__(self, trainer: PoolTrainer) -> None:
        self._trainer = trainer
        self.start(np.empty(0, int), np.empty(0, int))

    def start(self, keys: np.ndarray, slots: np.ndarray) -> None:
        self._places = RowPlaces(ROWS)
        self._places.where[keys] = slots
        self._trainer.place(TABLE_OF[keys], ROW_OF[keys], slots)

    def split(self, batch: Batch) -> Split:
        return self._places.split(batch)


def check_parity(
    optimizer: str, hot: str, multi_hot: bool, schedule: str, *, dense_features: int = 3, use_popular: bool = True
) -> None:
    rng = np.random.default_rng(11)
    kind = config(optimizer, dense_features)
    pool = pool_trainer(kind, dtype=torch.float64, seed=4)
    ordinary = ordinary_trainer(kind, dtype=torch.float64, seed=4)
    assert max_parameter_difference(pool, ordinary) == 0.0
    start = torch.cat(ordinary.export()[0]).clone()
    splitter = Splitter(pool)
    shares, shared_rows, held = [], 0, 0
    for step in range(STEPS):
        if step % 6 == 0:
            splitter.start(*hot_set(rng, hot))
        batch = make_batch(rng, multi_hot=multi_hot, dense_features=dense_features)
        split = splitter.split(batch)
        split = replace(split, popular=split.popular & use_popular)
        of_popular = np.repeat(split.popular, np.diff(batch.sample_offsets))
        shares.append(split.popular.mean())
        shared_rows += len(np.intersect1d(split.slots[of_popular], split.slots[~of_popular]))
        held += split.working.held if step % 6 else 0
        assert pool_step(pool, batch, split, schedule=schedule) == pytest.approx(
            ordinary_step(ordinary, batch), abs=EXACT
        )
    assert max_parameter_difference(pool, ordinary) < EXACT
    assert (torch.cat(ordinary.export()[0]) - start).abs().max() > 0.005  # it has learned
    batch = make_batch(rng, multi_hot=multi_hot, dense_features=dense_features)
    np.testing.assert_allclose(pool.predict(batch), ordinary.predict(batch), rtol=0, atol=1e-10)

    # The case did reach what it is meant to exercise.
    if (hot == "none" and not multi_hot) or not use_popular:
        assert max(shares) == 0
    elif hot == "all":
        assert min(shares) == 1
    elif hot == "some":
        assert min(shares) > 0.02
        assert max(shares) < 0.9
        assert shared_rows > 100
    assert (held > 50) == (hot != "all")


@SCHEDULES
@pytest.mark.parametrize("multi_hot", [False, True], ids=["one_hot", "multi_hot"])
@pytest.mark.parametrize("hot", ["none", "some", "all"])
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_a_step_over_the_pool_equals_the_ordinary_step(
    optimizer: str, hot: str, multi_hot: bool, schedule: str
) -> None:
    check_parity(optimizer, hot, multi_hot, schedule)


@SCHEDULES
@pytest.mark.parametrize("multi_hot", [False, True], ids=["one_hot", "multi_hot"])
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_parity_holds_while_rows_move(optimizer: str, multi_hot: bool, schedule: str) -> None:
    """An accelerator relearns and selects again and again while popularity drifts through the tables."""
    rng = np.random.default_rng(8)
    kind = config(optimizer)
    geometry = preset("tiny").override({"max_moves": MOVES, "working_rows": 512})
    driver = Driver(ModelDevice(geometry))
    driver.configure(Policy(age_period=1))
    pool = pool_trainer(kind, geometry.hot_capacity, dtype=torch.float64, seed=4)
    ordinary = ordinary_trainer(kind, dtype=torch.float64, seed=4)
    moved, evicted, selects, popular, bag_hits = 0, 0, 0, 0, 0
    for step in range(3 * STEPS):
        moves = driver.select()
        moved, evicted = moved + len(moves), evicted + int((moves.evicted_rows >= 0).sum())
        selects += bool(moves)
        batch = make_batch(rng, multi_hot=multi_hot)
        drift = (batch.indices * np.where(multi_hot, 0.15, 0.05)).astype(np.int64) + step
        batch = replace(batch, indices=drift % ROWS[batch.tables])
        split = driver.classify(batch, relearn=True)
        popular += int(split.popular.sum())
        bag_hits += int((split.slots[~np.repeat(split.popular, np.diff(batch.sample_offsets))] >= 0).sum())
        loss = pool_step(pool, batch, split, moves, schedule=schedule)
        assert loss == pytest.approx(ordinary_step(ordinary, batch), abs=EXACT)
    assert max_parameter_difference(pool, ordinary) < EXACT
    assert moved >= 50 and evicted >= 50 and selects >= 10 and popular > 30 and bag_hits > 30
    assert pool.hot_keys[: moves.hot_count].min() >= 0


@SCHEDULES
def test_without_dense_features(schedule: str) -> None:
    check_parity("adagrad", "some", True, schedule, dense_features=0)


def test_hot_rows_in_the_non_popular_micro_batch_alone() -> None:
    check_parity("adagrad", "all", True, "split", use_popular=False)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_ordinary_step_equals_autograd_over_full_tables(optimizer: str) -> None:
    """Uses neither the pooling kernel nor the coalescing, but gathers, loops over bags, and dense gradients."""
    rng = np.random.default_rng(5)
    kind = config(optimizer)
    ordinary = ordinary_trainer(kind, dtype=torch.float64, seed=4)
    twin = ordinary_trainer(kind, dtype=torch.float64, seed=4)
    table, accumulator = twin.table.requires_grad_(), twin.accumulator
    bases = np.cumsum(ROWS) - ROWS
    for _ in range(5):
        batch = make_batch(rng, multi_hot=True)
        loss = ordinary_step(ordinary, batch)
        keys = torch.from_numpy(bases[batch.tables] + batch.indices)
        bags = keys.split(batch.lengths.ravel().tolist())
        pooled = torch.stack([table[bag].sum(0) for bag in bags]).view(*batch.lengths.shape, -1)
        logits = twin.model(torch.tensor(batch.dense).double(), pooled)
        expected = F.binary_cross_entropy_with_logits(logits, torch.tensor(batch.label).double())
        assert loss == pytest.approx(expected.item(), abs=EXACT)
        twin.dense_optimizer.zero_grad()
        expected.backward()
        twin.dense_optimizer.step()
        with torch.no_grad():
            gradient = table.grad
            if optimizer == "adagrad":
                accumulator += gradient.square().mean(1)
                gradient = gradient / (accumulator.sqrt() + kind.eps).unsqueeze(1)
            table -= kind.rate * gradient
        table.grad = None
    table.requires_grad_(False)
    assert max_parameter_difference(ordinary, twin) < EXACT


@pytest.mark.parametrize("multi_hot", [False, True], ids=["one_hot", "multi_hot"])
def test_float32_is_ordinary_training_bit_for_bit(multi_hot: bool) -> None:
    """The one forward, backward and update over the pool sum in the same order. Two micro-batches do not."""
    rng = np.random.default_rng(3)
    pool, split, ordinary = pool_trainer(), pool_trainer(), ordinary_trainer()
    hot = hot_set(rng, "some")
    splitters = {"pool": Splitter(pool), "split": Splitter(split)}
    for splitter in splitters.values():
        splitter.start(*hot)
    for _ in range(STEPS):
        batch = make_batch(rng, multi_hot=multi_hot)
        expected = ordinary_step(ordinary, batch)
        assert pool_step(pool, batch, splitters["pool"].split(batch), schedule="pool") == expected
        loss = pool_step(split, batch, splitters["split"].split(batch), schedule="split")
        assert loss == pytest.approx(expected, abs=1e-4)
    assert max_parameter_difference(pool, ordinary) == 0.0 < max_parameter_difference(split, ordinary) < 1e-3


def test_training_lowers_the_loss() -> None:
    rng = np.random.default_rng(9)
    ordinary = ordinary_trainer()
    batch = make_batch(rng, multi_hot=True)
    losses = [ordinary_step(ordinary, batch) for _ in range(60)]
    assert losses[-1] < 0.7 * losses[0]


def test_losses_are_kept_until_somebody_asks() -> None:
    """More of them than a block holds, and none twice."""
    ordinary, twin = ordinary_trainer(dtype=torch.float64), ordinary_trainer(dtype=torch.float64)
    batch = make_batch(np.random.default_rng(9), multi_hot=False, samples=2)
    for _ in range(1030):
        ordinary.step(ordinary.pack(batch))
    losses = ordinary.losses()
    assert losses.tolist() == [ordinary_step(twin, batch) for _ in range(1030)]
    assert not len(ordinary.losses()) and losses.dtype == np.float64


def test_a_wrong_split_raises_and_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    pool, untouched = pool_trainer(dtype=torch.float64), ordinary_trainer(dtype=torch.float64)
    splitter = Splitter(pool)
    splitter.start(*hot_set(rng, "some"))
    batch = make_batch(rng, multi_hot=False)
    split = splitter.split(batch)
    popular, slots, places = split.popular, split.slots, split.working.places
    hit, miss = int((slots >= 0).argmax()), int((slots < 0).argmax())

    def changed(values: np.ndarray, at: int, value: int) -> np.ndarray:
        wrong = values.copy()
        wrong[at] = value
        return wrong

    def step(slots: np.ndarray = slots, popular: np.ndarray = popular, places: np.ndarray = places) -> None:
        working = replace(split.working, places=places)
        pool_step(pool, batch, Split(popular, slots, working), schedule="pool")

    none = np.zeros_like(popular)
    cold = "is cold, and the place among the working rows that is named is not its own"
    with pytest.raises(OwnershipError, match=f"lookup {hit}: row .* {cold}"):
        step(changed(slots, hit, -1), none)
    with pytest.raises(OwnershipError, match=f"lookup {miss}: .* is taken to be hot in slot 0, but that slot holds"):
        step(changed(slots, miss, 0))
    with pytest.raises(OwnershipError, match=f"lookup {miss}: .* is said to be in slot {KEYS} of {KEYS}"):
        step(changed(slots, miss, KEYS))
    for wrong in (-1, len(split.working), (places[miss] + 1) % len(split.working)):
        with pytest.raises(OwnershipError, match=f"lookup {miss}: .* {cold}"):
            step(places=changed(places, miss, wrong))
    with pytest.raises(
        ValueError, match=r"sample \d+ is called popular, but its lookup \d+, of row \d+ of table \d, is cold"
    ):
        step(popular=np.ones_like(popular))
    with pytest.raises(ValueError, match=r"popular is int64 \(48,\); it must be bool \(48,\)"):
        step(popular=popular.astype(np.int64))
    with pytest.raises(ValueError, match="one for each lookup"):
        step(slots[1:])
    with pytest.raises(IndexError, match="row 0 of table 4, but table 4 is none of 4"):
        pool.place(np.array([4]), np.array([0]), np.array([0]))
    assert max_parameter_difference(pool, untouched) == 0.0
    assert pool_step(pool, batch, split, schedule="pool") == ordinary_step(untouched, batch)
    assert max_parameter_difference(pool, untouched) == 0.0


def test_a_mini_batch_that_is_too_large_is_refused() -> None:
    pool = pool_trainer(hot_rows=8)
    batch = make_batch(np.random.default_rng(2), multi_hot=False, samples=SAMPLES + 1)
    with pytest.raises(ValueError, match="has 49 samples; room was made for 48"):
        pool_step(pool, batch, Splitter(pool).split(batch), schedule="pool")


def test_difference_sees_a_single_row_and_optimizer_state() -> None:
    a, b = (ordinary_trainer(dtype=torch.float64) for _ in range(2))
    b.table[KEYS - 1, 2] += 0.5
    assert max_parameter_difference(a, b) == 0.5
    b.accumulator[3] += 0.75
    assert max_parameter_difference(a, b) == 0.75
    next(iter(b.dense_optimizer.state.values()))["sum"][0] += 2.0
    assert max_parameter_difference(a, b) == 2.0
    b.table[0, 0] = torch.nan
    assert np.isnan(max_parameter_difference(a, b))
    with pytest.raises(ValueError, match="has no counterpart"):
        max_parameter_difference(a, ordinary_trainer(rows=ROWS + 1, dtype=torch.float64))


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (lambda b: Batch(b.indices, b.lengths[:, :3], b.dense, b.label), "has 3 tables, the trainer 4"),
        (lambda b: Batch(b.indices, b.lengths, b.dense[:, 1:], b.label), r"dense is \(48, 2\); it must be \(48, 3\)"),
        (lambda b: Batch(b.indices[:0], b.lengths[:0], b.dense[:0], b.label[:0]), "at least one sample"),
    ],
)
def test_a_batch_of_another_shape(batch, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ordinary_trainer().pack(batch(make_batch(np.random.default_rng(0), multi_hot=False)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": "adam"}, "optimizer is 'adam'; it must be one of sgd, adagrad"),
        ({"dense_features": -1}, "dense_features is -1"),
        ({"rate": 0.0}, "rate is 0.0; it must be a finite number above 0"),
        ({"rate": float("inf")}, "rate is inf; it must be a finite number above 0"),
        ({"eps": float("nan")}, "eps is nan; it must be a finite number above 0"),
    ],
)
def test_config_names_what_is_wrong(settings: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        TrainConfig(**settings)
