"""Training over the pool is ordinary training: bit for bit, while rows move and the accelerator gathers beside it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hotline_host.data.log import Batch
from hotline_host.driver.driver import Driver
from hotline_host.errors import DriverError
from hotline_host.pipelines import ahead
from hotline_host.pipelines.gatherers import AcceleratorGatherer
from hotline_host.pipelines.pooled import PooledPipeline
from hotline_host.pipelines.registry import PIPELINES
from hotline_host.pool.planner import Planner
from hotline_host.training.kernels import TorchKernels
from hotline_host.training.pool_trainer import PoolTrainer
from hotline_host.training.trainer import max_parameter_difference
from hotline_hw.spec.params import PRESETS
from hotline_sim.model.device import ModelDevice
from tests.support.at_once import AtOnce
from tests.support.gathering_runs import ROOMY, ROWS, STEPS, Run, config, drifting_log, size_of_batches, train
from tests.support.tools import needs

TINY = PRESETS["tiny"]
EXACT = 1e-12
KINDS = pytest.mark.parametrize(
    ("optimizer", "multi_hot"), [("sgd", False), ("sgd", True), ("adagrad", False), ("adagrad", True)]
)
RIVALS = [name for name in PIPELINES if not name.startswith("hotline") and name != "ordinary"]


def assert_identical(a: Run, b: Run) -> None:
    """The results are equal bit for bit."""
    np.testing.assert_array_equal(a.losses, b.losses)
    assert np.isfinite(a.losses).all()
    for (name, x), (_, y) in zip(a.trainer.parameters(), b.trainer.parameters(), strict=True):
        np.testing.assert_array_equal(x.numpy(), y.numpy(), err_msg=name)


def assert_close(a: Run, b: Run) -> None:
    """The results differ by round-off in float64."""
    np.testing.assert_allclose(a.losses, b.losses, rtol=0, atol=EXACT)
    assert max_parameter_difference(a.trainer, b.trainer) < EXACT


@KINDS
def test_200_steps_in_float32_are_ordinary_training_bit_for_bit(optimizer: str, multi_hot: bool) -> None:
    """Storage that owns no row is NaN, so a row that is read where it does not live would show."""
    options = {"multi_hot": multi_hot, "steps": 200, "dtype": torch.float32}
    run = train("hotline", optimizer, check=True, **options)
    assert len(run.losses) == 200 and run.losses[-50:].mean() != run.losses[:50].mean()
    assert run.gathered > 2000 and run.held > 1000 and run.moved > 300 and all(run.all_listed)
    assert_identical(run, train("ordinary", optimizer, **options))


@KINDS
@pytest.mark.parametrize("name", ["hotline", "hotline-split"])
def test_parity_in_float64(name: str, optimizer: str, multi_hot: bool) -> None:
    run = train(name, optimizer, multi_hot=multi_hot, steps=100, check=True)
    assert run.gathered > 1000 and run.held > 500 and run.moved > 150 and all(run.all_listed)
    assert_close(run, train("ordinary", optimizer, multi_hot=multi_hot, steps=100))


@KINDS
@pytest.mark.parametrize("name", RIVALS)
def test_rivals_are_ordinary_training_bit_for_bit(name: str, optimizer: str, multi_hot: bool) -> None:
    options = {"multi_hot": multi_hot, "steps": 40, "dtype": torch.float32}
    run = train(name, optimizer, check=True, learned=3, **options)
    assert (run.moved > 40) == (name in ("lru", "lfu")) and (run.held > 30) == (name != "resident")
    assert_identical(run, train("ordinary", optimizer, **options))


@pytest.mark.parametrize("name", RIVALS)
def test_rivals_have_the_split_schedule_too(name: str) -> None:
    assert_close(train(name, schedule="split", check=True, learned=3), train("ordinary"))


@needs("verilator")
@KINDS
def test_verilated_equals_model_bit_for_bit(optimizer: str, multi_hot: bool) -> None:
    options = {"multi_hot": multi_hot, "dtype": torch.float32, "check": True}
    verilated, model = (train("hotline", optimizer, backend=backend, **options) for backend in ("verilated", "model"))
    assert_identical(verilated, model)
    assert verilated.counts == model.counts and verilated.gathered > 200 and verilated.moved > 30
    assert_identical(verilated, train("ordinary", optimizer, multi_hot=multi_hot, dtype=torch.float32))


@needs("verilator")
def test_verilated_equals_model_under_the_split_schedule() -> None:
    verilated, model = (train("hotline-split", backend=backend, check=True) for backend in ("verilated", "model"))
    assert_identical(verilated, model)
    assert verilated.counts == model.counts
    assert_close(verilated, train("ordinary"))


def test_rows_gathered_by_the_host_make_no_difference() -> None:
    host, device = train(by_host=True, check=True), train(check=True)
    assert_identical(host, device)
    assert host.gathered == 0 < device.gathered and host.by_host == device.gathered + device.by_host


@needs("verilator")
@pytest.mark.parametrize("name", ["hotline", "hotline-split"])
def test_lists_that_are_full(name: str) -> None:
    """The host fetches the rows of some mini-batches."""
    few = train(name, geometry=TINY, check=True)
    assert 3 < sum(few.all_listed) < STEPS - 3 and few.gathered > 20 and few.by_host > 200
    assert_close(few, train("ordinary"))
    assert_identical(few, train(name, geometry=TINY, check=True, backend="verilated"))


# Each rule of the order is needed


BRING_BACK, PACK, ARRIVE, PLAN, GATHER = (
    PoolTrainer.bring_back, PoolTrainer.pack, PoolTrainer.arrive, Planner.plan, PooledPipeline._gather,
)  # fmt: skip


def _nothing_is_brought_back(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(PoolTrainer, "bring_back", lambda self, number: None)


def _brought_back_after_the_gather(patch: pytest.MonkeyPatch) -> None:
    def gather(self, followed, plan):
        counts = GATHER(self, followed, plan)
        BRING_BACK(self.trainer, plan.result().number - 2)
        return counts

    patch.setattr(PoolTrainer, "bring_back", lambda self, number: None)
    patch.setattr(PooledPipeline, "_gather", gather)


def _no_moves(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(TorchKernels, "copy_rows", lambda *_: None)


def _moves_when_they_are_planned(patch: pytest.MonkeyPatch) -> None:
    copy_rows = TorchKernels.copy_rows

    def pack(self, batch, plan, popular=None):
        PACK(self, batch, plan, popular)
        if len(plan.source):
            copy_rows(self.kernels, self.pool.rows, self.pool.state, *self.inputs[plan.half].move_ids())

    patch.setattr(PoolTrainer, "pack", pack)
    patch.setattr(TorchKernels, "copy_rows", lambda *_: None)


def _moves_before_the_update(patch: pytest.MonkeyPatch) -> None:
    """Rows that move have the values from before the update of the mini-batch before. None of them is NaN."""
    before = {}

    def update_rows(self, optimizer, rows, state, gradient, groups, *others):
        before["rows"], before["state"] = rows.clone(), state.clone()
        update(self, optimizer, rows, state, gradient, groups, *others)

    def arrive(self, plan):
        ARRIVE(self, plan)
        begin = self.pool.shape.begin(plan.half)
        came = (plan.source >= begin) & (plan.source < begin + self.pool.shape.working_rows)
        if before:
            source, target = (torch.from_numpy(ids[~came].astype(np.int64)) for ids in (plan.source, plan.target))
            self.pool.rows[target], self.pool.state[target] = before["rows"][source], before["state"][source]

    update = TorchKernels.update_rows
    patch.setattr(TorchKernels, "update_rows", update_rows)
    patch.setattr(PoolTrainer, "arrive", arrive)


def _copied_in_after_the_moves(patch: pytest.MonkeyPatch) -> None:
    def arrive(self, plan):
        self.pool.move(self.kernels, *self.inputs[plan.half].move_ids())
        self.pool.copy_in(self.kernels, plan)
        self.embeddings._latest = plan
        self.hot_keys[plan.slots] = plan.comes

    patch.setattr(PoolTrainer, "arrive", arrive)


def _gathered_rows_do_not_move(patch: pytest.MonkeyPatch) -> None:
    """The accelerator does not know of rows that were in a slot. What it gathers in their place is not their value."""
    dropped = []

    def plan(self, split, keys, moves):
        plan = PLAN(self, split, keys, moves)
        begin = self.shape.begin(plan.half)
        stays = (plan.target < begin) | (plan.target >= begin + plan.free)
        dropped.append(int((~stays).sum()))
        return replace(plan, source=plan.source[stays], target=plan.target[stays])

    patch.setattr(Planner, "plan", plan)


BROKEN = [
    _nothing_is_brought_back, _brought_back_after_the_gather, _no_moves, _moves_when_they_are_planned,
    _moves_before_the_update, _copied_in_after_the_moves, _gathered_rows_do_not_move,
]  # fmt: skip


def test_the_order_of_the_thread_makes_no_difference(monkeypatch) -> None:
    expected = train(check=True)
    monkeypatch.setattr(ahead, "ThreadPoolExecutor", AtOnce)
    assert_identical(train(check=True), expected)


@pytest.mark.parametrize("name", ["hotline", "hotline-split", "lru"])
@pytest.mark.parametrize("break_rule", BROKEN, ids=lambda rule: rule.__name__.strip("_"))
def test_a_broken_order_shows(monkeypatch, break_rule, name: str) -> None:
    monkeypatch.setattr(ahead, "ThreadPoolExecutor", AtOnce)
    expected = train("ordinary").losses
    break_rule(monkeypatch)
    losses = train(name, check=True).losses
    if break_rule is _moves_before_the_update:
        assert np.abs(losses - expected).max() > 1e-6, "wrong, but no NaN"
    else:
        assert np.isnan(losses).any()


# The parts


def pool_of(device: ModelDevice, dimension: int = 4, *, dtype=torch.float32, hot_rows: int = 0) -> PoolTrainer:
    """A trainer whose cold rows are in the device's memory. The log is `drifting_log`."""
    kind = config("sgd")
    kind = replace(kind, model=replace(kind.model, dimension=dimension))
    size = size_of_batches([drifting_log(multi_hot=True).batch(0, 24)])
    size = replace(size, lookups=24 * 12)
    return PoolTrainer(kind, ROWS, hot_rows, size, dtype=dtype, memory=device.memory)


def step(driver: Driver, trainer: PoolTrainer, gatherer: AcceleratorGatherer, batch: Batch) -> float:
    split = driver.classify(batch)
    plan = trainer.plan(batch, split)
    trainer.bring_back(plan.number - 2)
    trainer.pack(batch, plan)
    gatherer.gather(split, plan)
    trainer.launch(plan)
    return float(trainer.losses()[0])


@pytest.mark.parametrize(
    ("dimension", "dtype"),
    [
        (4, torch.float32), (12, torch.float32), (16, torch.float32),
        (2, torch.float64), (6, torch.float64), (8, torch.float64),
    ],
)  # fmt: skip
def test_every_lookup_finds_its_row(dimension: int, dtype: torch.dtype) -> None:
    log = drifting_log(multi_hot=True)
    with ModelDevice(ROOMY) as device:
        driver, trainer = Driver(device), pool_of(device, dimension, dtype=dtype)
        pool, gatherer = trainer.pool, AcceleratorGatherer(driver, trainer.pool)
        pool.cold_state.copy_(torch.arange(len(pool.cold)))
        held = 0
        for start in (0, 24, 48, 72):
            batch = log.batch(start, start + 24)
            keys = trainer.tables.keys(batch.tables, batch.indices)
            split = driver.classify(batch)
            plan = trainer.plan(batch, split)
            trainer.bring_back(plan.number - 2)
            trainer.pack(batch, plan)
            gatherer.gather(split, plan)
            with torch.no_grad():
                trainer.arrive(plan)
                trainer.pool.copy_out(plan)
            ids = torch.from_numpy(plan.ids)
            np.testing.assert_array_equal(pool.rows[ids], pool.cold[keys])
            np.testing.assert_array_equal(pool.state[ids], keys)
            assert plan.free + plan.held == len(np.unique(keys)) == len(split.working) and not len(plan.fetched)
            held += plan.held
        assert held > 30 and gatherer.host_rows == 0 < gatherer.rows


def test_a_mini_batch_without_lookups() -> None:
    """The accelerator does not see it, so its lists stay those of the mini-batch before."""
    log = drifting_log(multi_hot=True)
    nothing = replace(log.batch(0, 2), indices=np.empty(0, np.int64), lengths=np.zeros((2, 4), np.int64))
    with ModelDevice(ROOMY) as device:
        driver, trainer = Driver(device), pool_of(device)
        gatherer = AcceleratorGatherer(driver, trainer.pool)
        for batch in (log.batch(0, 24), nothing, log.batch(24, 48), nothing, nothing, log.batch(0, 24)):
            before = gatherer.rows
            assert np.isfinite(step(driver, trainer, gatherer, batch))
            assert (gatherer.rows > before) == (batch is not nothing)
        assert all(torch.isfinite(table).all() for table in trainer.export()[0])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda done: done._replace(rows=done.rows[::-1].copy()), "other cold rows were gathered than those that the"),
        (lambda done: done._replace(written=done.written - 1), r"of \d+ cold rows that were listed \d+ were gathered"),
    ],
)
def test_wrong_answers_are_seen(change, message: str) -> None:
    with ModelDevice(ROOMY) as device:
        driver, trainer = Driver(device), pool_of(device)
        gatherer = AcceleratorGatherer(driver, trainer.pool)
        gather = driver.gather
        driver.gather = lambda *args, **options: change(gather(*args, **options))
        with pytest.raises(DriverError, match=message):
            step(driver, trainer, gatherer, drifting_log(multi_hot=False).batch(0, 24))


def test_cold_rows_in_memory_of_their_own_cannot_be_gathered() -> None:
    with ModelDevice(ROOMY) as device:
        pool = pool_of(device).pool
        pool.region = None
        with pytest.raises(ValueError, match="not in memory that the accelerator reaches"):
            AcceleratorGatherer(Driver(device), pool)
    with ModelDevice(ROOMY) as device, pytest.raises(DriverError, match="both must be multiples of 16"):
        AcceleratorGatherer(Driver(device), pool_of(device, 5).pool)
