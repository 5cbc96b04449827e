"""Exactness: the split step equals the ordinary mini-batch step, which equals plain autograd over full tables."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from hotline_host.data.log import Batch
from hotline_host.driver.driver import Driver, Policy
from hotline_host.plan import Moves
from hotline_host.training.dlrm import ModelConfig
from hotline_host.training.ordinary import OrdinaryTrainer
from hotline_host.training.step import SplitTrainer
from hotline_host.training.store import OwnershipError
from hotline_host.training.trainer import TrainConfig, max_parameter_difference
from hotline_hw.spec.params import preset
from hotline_sim.model.device import ModelDevice

ROWS = np.array([40, 7, 300, 1])
KEYS = int(ROWS.sum())
TABLE_OF = np.repeat(np.arange(len(ROWS)), ROWS)
ROW_OF = np.concatenate([np.arange(rows) for rows in ROWS])
STEPS = 20
EXACT = 1e-12


def config(optimizer: str = "adagrad", dense_features: int = 3) -> TrainConfig:
    model = ModelConfig(dimension=8, bottom=(16,), top=(16, 8))
    return TrainConfig(model, dense_features, optimizer, rate=0.05 if optimizer == "adagrad" else 0.5)


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


def split(trainer: SplitTrainer, batch: Batch) -> tuple[np.ndarray, np.ndarray]:
    """What the accelerator would answer for the present hot set."""
    slots = trainer.store.slot_of[trainer.tables.keys(batch.tables, batch.indices)].astype(np.int64)
    cold = np.concatenate([[0], np.cumsum(slots < 0)])[batch.sample_offsets]
    return np.diff(cold) == 0, slots


def place(trainer: SplitTrainer, hot: tuple[np.ndarray, np.ndarray]) -> int:
    keys, slots = hot
    return trainer.place(TABLE_OF[keys], ROW_OF[keys], slots)


def check_parity(
    optimizer: str, hot: str, multi_hot: bool, *, device: str = "cpu", dense_features: int = 3, use_popular: bool = True
) -> None:
    rng = np.random.default_rng(11)
    kind = config(optimizer, dense_features)
    hotline = SplitTrainer(kind, ROWS, KEYS, device=device, dtype=torch.float64, seed=4)
    ordinary = OrdinaryTrainer(kind, ROWS, device=device, dtype=torch.float64, seed=4)
    assert max_parameter_difference(hotline, ordinary) == 0.0
    start = torch.cat(ordinary.export()[0]).clone()
    shares, shared_rows, moved = [], 0, 0
    for step in range(STEPS):
        if step % 6 == 0:
            moved += place(hotline, hot_set(rng, hot))
        batch = make_batch(rng, multi_hot=multi_hot, dense_features=dense_features)
        popular, slots = split(hotline, batch)
        popular &= use_popular
        of_popular = np.repeat(popular, np.diff(batch.sample_offsets))
        shares.append(popular.mean())
        shared_rows += len(np.intersect1d(slots[of_popular], slots[~of_popular]))
        assert hotline.step(batch, popular, slots) == pytest.approx(ordinary.step(batch), abs=EXACT)
    assert max_parameter_difference(hotline, ordinary) < EXACT
    assert (torch.cat(ordinary.export()[0]) - start).abs().max() > 0.01
    batch = make_batch(rng, multi_hot=multi_hot, dense_features=dense_features)
    np.testing.assert_allclose(hotline.predict(batch), ordinary.predict(batch), rtol=0, atol=1e-10)

    # The case did reach what it is meant to exercise.
    if (hot == "none" and not multi_hot) or not use_popular:
        assert max(shares) == 0
    elif hot == "all":
        assert min(shares) == 1
    elif hot == "some":
        assert min(shares) > 0.02
        assert max(shares) < 0.9
        assert shared_rows > 100
        assert moved > KEYS


@pytest.mark.parametrize("multi_hot", [False, True], ids=["one_hot", "multi_hot"])
@pytest.mark.parametrize("hot", ["none", "some", "all"])
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_split_step_equals_ordinary_step(optimizer: str, hot: str, multi_hot: bool) -> None:
    check_parity(optimizer, hot, multi_hot)


@pytest.mark.parametrize("multi_hot", [False, True], ids=["one_hot", "multi_hot"])
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_parity_holds_while_rows_move(optimizer: str, multi_hot: bool) -> None:
    """An accelerator relearns and selects again and again while popularity drifts through the tables."""
    rng = np.random.default_rng(8)
    kind = config(optimizer)
    geometry = preset("tiny").override({"max_moves": 16})
    driver = Driver(ModelDevice(geometry))
    driver.configure(Policy(age_period=1))
    hotline = SplitTrainer(kind, ROWS, geometry.hot_capacity, dtype=torch.float64, seed=4)
    ordinary = OrdinaryTrainer(kind, ROWS, dtype=torch.float64, seed=4)
    moved, evicted, selects, popular, bag_hits = 0, 0, 0, 0, 0
    for step in range(3 * STEPS):
        moves = driver.select()
        hotline.move(moves)
        moved, evicted = moved + len(moves), evicted + int((moves.evicted_rows >= 0).sum())
        selects += bool(moves)
        batch = make_batch(rng, multi_hot=multi_hot)
        drift = (batch.indices * np.where(multi_hot, 0.15, 0.05)).astype(np.int64) + step
        batch = replace(batch, indices=drift % ROWS[batch.tables])
        split = driver.classify(batch, relearn=True)
        popular += int(split.popular.sum())
        bag_hits += int((split.slots[~np.repeat(split.popular, np.diff(batch.sample_offsets))] >= 0).sum())
        assert hotline.step(batch, split.popular, split.slots) == pytest.approx(ordinary.step(batch), abs=EXACT)
    assert max_parameter_difference(hotline, ordinary) < EXACT
    assert moved >= 50 and evicted >= 50 and selects >= 10 and popular > 30 and bag_hits > 30
    assert hotline.store.key_of[: moves.hot_count].min() >= 0


def test_moves_that_are_not_so_move_nothing() -> None:
    hotline = SplitTrainer(config(), ROWS, 8)
    ones = np.ones(1, np.int64)
    good = Moves(ones, ones, ones, -ones, -ones, hot_count=1, threshold=1, idle=0, recent=0)
    assert hotline.move(good) == 1
    with pytest.raises(OwnershipError, match="row 1 of table 1 is taken to be cold, but it is hot in slot 1"):
        hotline.move(good)
    with pytest.raises(OwnershipError, match="slot 1 is taken to hold row 2 of table 1, but it holds row 1 of table 1"):
        hotline.move(replace(good, rows=3 * ones, evicted_tables=ones, evicted_rows=2 * ones))
    with pytest.raises(IndexError, match="row 7 of table 1, but table 1 has 7 rows"):
        hotline.move(replace(good, rows=7 * ones))
    assert hotline.store.slot_of[41] == 1 and (hotline.store.slot_of >= 0).sum() == 1


def test_without_dense_features() -> None:
    check_parity("adagrad", "some", True, dense_features=0)


def test_hot_rows_in_the_non_popular_micro_batch_alone() -> None:
    check_parity("adagrad", "all", True, use_popular=False)


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_split_step_equals_ordinary_step_on_cuda(optimizer: str) -> None:
    check_parity(optimizer, "some", True, device="cuda")


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_ordinary_step_equals_autograd_over_full_tables(optimizer: str) -> None:
    """Uses neither the pooling kernel nor the coalescing, but gathers, loops over bags, and dense gradients."""
    rng = np.random.default_rng(5)
    kind = config(optimizer)
    ordinary = OrdinaryTrainer(kind, ROWS, dtype=torch.float64, seed=4)
    twin = OrdinaryTrainer(kind, ROWS, dtype=torch.float64, seed=4)
    table, accumulator = twin.table.requires_grad_(), twin.accumulator
    bases = np.cumsum(ROWS) - ROWS
    for _ in range(5):
        batch = make_batch(rng, multi_hot=True)
        loss = ordinary.step(batch)
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


def test_float32_losses_overlay() -> None:
    rng = np.random.default_rng(3)
    hotline, ordinary = SplitTrainer(config(), ROWS, KEYS), OrdinaryTrainer(config(), ROWS)
    place(hotline, hot_set(rng, "some"))
    batches = [make_batch(rng, multi_hot=True) for _ in range(STEPS)]
    for batch in batches:
        assert hotline.step(batch, *split(hotline, batch)) == pytest.approx(ordinary.step(batch), abs=1e-4)
    assert 0.0 < max_parameter_difference(hotline, ordinary) < 1e-3


def test_training_lowers_the_loss() -> None:
    rng = np.random.default_rng(9)
    ordinary = OrdinaryTrainer(config(), ROWS)
    batch = make_batch(rng, multi_hot=True)
    losses = [ordinary.step(batch) for _ in range(60)]
    assert losses[-1] < 0.7 * losses[0]


def test_a_wrong_split_raises_and_changes_nothing() -> None:
    rng = np.random.default_rng(2)
    hotline = SplitTrainer(config(), ROWS, KEYS, dtype=torch.float64)
    untouched = OrdinaryTrainer(config(), ROWS, dtype=torch.float64)
    place(hotline, hot_set(rng, "some"))
    batch = make_batch(rng, multi_hot=False)
    popular, slots = split(hotline, batch)
    hit, miss = int((slots >= 0).argmax()), int((slots < 0).argmax())

    def changed(at: int, slot: int) -> np.ndarray:
        wrong = slots.copy()
        wrong[at] = slot
        return wrong

    with pytest.raises(OwnershipError, match=f"lookup {hit}: .* is taken to be cold, but it is hot"):
        hotline.step(batch, popular, changed(hit, -1))
    with pytest.raises(OwnershipError, match=f"lookup {miss}: .* is taken to be hot in slot 0, but it is cold"):
        hotline.step(batch, popular, changed(miss, 0))
    with pytest.raises(
        ValueError, match=r"sample \d+ is called popular, but its lookup of row \d+ of table \d is cold"
    ):
        hotline.step(batch, np.ones_like(popular), slots)
    with pytest.raises(ValueError, match=r"popular is int64 \(48,\); it must be bool \(48,\)"):
        hotline.step(batch, popular.astype(np.int64), slots)
    with pytest.raises(ValueError, match="one for each lookup"):
        hotline.step(batch, popular, slots[1:])
    with pytest.raises(IndexError, match="row 0 of table 4, but table 4 is none of 4"):
        hotline.place(np.array([4]), np.array([0]), np.array([0]))
    assert max_parameter_difference(hotline, untouched) == 0.0


def test_difference_sees_a_single_row_and_optimizer_state() -> None:
    a, b = (OrdinaryTrainer(config(), ROWS, dtype=torch.float64) for _ in range(2))
    b.table[KEYS - 1, 2] += 0.5
    assert max_parameter_difference(a, b) == 0.5
    b.accumulator[3] += 0.75
    assert max_parameter_difference(a, b) == 0.75
    next(iter(b.dense_optimizer.state.values()))["sum"][0] += 2.0
    assert max_parameter_difference(a, b) == 2.0
    b.table[0, 0] = torch.nan
    assert np.isnan(max_parameter_difference(a, b))
    with pytest.raises(ValueError, match="has no counterpart"):
        max_parameter_difference(a, OrdinaryTrainer(config(), ROWS + 1, dtype=torch.float64))


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
        OrdinaryTrainer(config(), ROWS).step(batch(make_batch(np.random.default_rng(0), multi_hot=False)))


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
