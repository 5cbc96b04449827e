"""Training on working parameters that the accelerator gathers is exact, and never reads rows in flux."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hotline_host.driver.driver import Driver
from hotline_host.errors import DriverError
from hotline_host.pipelines.working import WorkingGatherer
from hotline_host.training.step import SplitTrainer
from hotline_host.training.store import EmbeddingStore, OwnershipError
from hotline_host.training.trainer import max_parameter_difference
from hotline_hw.spec.params import PRESETS
from hotline_sim.model.device import ModelDevice
from tests.support.gathering_runs import ROOMY, ROWS, STEPS, Run, config, drifting_log, train, train_ordinary
from tests.support.tools import needs

TINY = PRESETS["tiny"]
EXACT = 1e-12
KINDS = pytest.mark.parametrize(
    ("optimizer", "multi_hot"), [("sgd", False), ("sgd", True), ("adagrad", False), ("adagrad", True)]
)


def check_parity(run: Run, optimizer: str, *, multi_hot: bool) -> None:
    ordinary = train_ordinary(optimizer, multi_hot=multi_hot, steps=len(run.losses))
    np.testing.assert_allclose(run.losses, ordinary.losses, rtol=0, atol=EXACT)
    assert max_parameter_difference(run.trainer, ordinary.trainer) < EXACT


def assert_identical(a: Run, b: Run) -> None:
    """The results are equal bit for bit."""
    assert a.losses == b.losses
    for (name, x), (_, y) in zip(a.trainer.parameters(), b.trainer.parameters(), strict=True):
        assert torch.equal(x, y), name


@KINDS
def test_parity_while_rows_move_and_rows_in_flux_are_nan(optimizer: str, multi_hot: bool) -> None:
    run = train("model", optimizer, multi_hot=multi_hot, poison=True)
    check_parity(run, optimizer, multi_hot=multi_hot)
    assert run.early > 200 and run.late > 100 and run.held > 100 and run.moved > 30 and all(run.all_listed)


@needs("verilator")
@KINDS
def test_verilated_equals_model_bit_for_bit(optimizer: str, multi_hot: bool) -> None:
    verilated, model = (train(backend, optimizer, multi_hot=multi_hot) for backend in ("verilated", "model"))
    assert_identical(verilated, model)
    assert (verilated.early, verilated.late, verilated.held) == (model.early, model.late, model.held)
    check_parity(verilated, optimizer, multi_hot=multi_hot)


def test_rows_gathered_by_the_host_make_no_difference() -> None:
    assert_identical(train("model"), train("model", by_host=True))


@needs("verilator")
def test_lists_that_are_full() -> None:
    """The host gathers some mini-batches. Nothing is gathered early for the mini-batches right behind them."""
    few = train("model", geometry=TINY, poison=True)
    check_parity(few, "adagrad", multi_hot=True)
    assert 3 < sum(few.all_listed) < STEPS - 3 and few.early > 20
    assert_identical(few, train("verilated", geometry=TINY))


# Each rule of `WorkingGatherer.begin` is needed

BEGIN, FINISH = WorkingGatherer.begin, WorkingGatherer.finish


def _held_ones_too(self, split, moved):
    gathering = BEGIN(self, split, moved)
    self.early = FINISH(self, gathering) if not moved else None
    return gathering


def _finish(self, gathering):
    return self.early or FINISH(self, gathering)


def _in_spite_of_moves(self, split, moved):
    return BEGIN(self, split, False)


def _in_spite_of_full_lists(self, split, moved):
    self._all_listed = True
    return BEGIN(self, split, moved)


@pytest.mark.parametrize(
    ("begin", "finish", "geometry"),
    [
        (_held_ones_too, _finish, ROOMY),
        (_in_spite_of_moves, FINISH, ROOMY),
        (_in_spite_of_full_lists, FINISH, TINY),
    ],
)
def test_rows_in_flux_would_be_seen(monkeypatch, begin, finish, geometry) -> None:
    monkeypatch.setattr(WorkingGatherer, "begin", begin)
    monkeypatch.setattr(WorkingGatherer, "finish", finish)
    # Where another rule is broken, no rows may move, because the accelerator would wait for a SELECT.
    every = 3 if begin is _in_spite_of_moves else STEPS - 1
    assert np.isnan(train("model", geometry=geometry, poison=True, select_every=every).losses).any()


# The parts


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
        driver = Driver(device)
        store = EmbeddingStore(ROWS, dimension, 8, dtype=dtype, memory=device.memory)
        gatherer = WorkingGatherer(driver, store)
        shared = 0
        for start in (0, 24, 48, 72):
            batch = log.batch(start, start + 24)
            split = driver.classify(batch)
            working = gatherer.finish(gatherer.begin(split, False))
            assert working is not None and split.working is not None
            keys = store.tables.keys(batch.tables, batch.indices)
            assert (working.places >= 0).all()
            assert (working.keys[working.places] == keys).all()
            assert np.array_equal(working.rows[working.places], store.cold[keys].numpy())
            assert (working.keys >= 0).sum() == len(np.unique(keys)) == len(split.working)
            shared += split.working.held
        assert shared > 30


def test_a_mini_batch_without_lookups() -> None:
    """The accelerator does not see it, so its lists stay those of the mini-batch before."""
    log = drifting_log(multi_hot=True)
    nothing = replace(log.batch(0, 2), indices=np.empty(0, np.int64), lengths=np.zeros((2, 4), np.int64))
    with ModelDevice(ROOMY) as device:
        driver = Driver(device)
        trainer = SplitTrainer(config("sgd"), ROWS, 8, dtype=torch.float64, memory=device.memory)
        gatherer = WorkingGatherer(driver, trainer.store)
        for batch in (log.batch(0, 24), nothing, log.batch(24, 48)):
            split = driver.classify(batch)
            working = gatherer.finish(gatherer.begin(split, False))
            assert working is not None and (working.keys >= 0).any() == (batch is not nothing)
            assert np.isfinite(trainer.step(batch, split.popular, split.slots, working))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda done: done._replace(rows=done.rows[::-1].copy()), "other cold rows were gathered than those that the"),
        (lambda done: done._replace(written=done.written - 1), r"of \d+ cold rows that were listed \d+ were gathered"),
    ],
)
def test_wrong_answers_are_seen(change, message: str) -> None:
    with ModelDevice(ROOMY) as device:
        driver = Driver(device)
        gatherer = WorkingGatherer(driver, EmbeddingStore(ROWS, 4, 8, memory=device.memory))
        gather = driver.gather
        driver.gather = lambda *args, **options: change(gather(*args, **options))
        with pytest.raises(DriverError, match=message):
            gatherer.begin(driver.classify(drifting_log(multi_hot=False).batch(0, 24)), False)


def test_working_parameters_of_other_rows() -> None:
    log = drifting_log(multi_hot=False)
    with ModelDevice(ROOMY) as device:
        driver = Driver(device)
        trainer = SplitTrainer(config("sgd"), ROWS, 8, dtype=torch.float64, memory=device.memory)
        gatherer = WorkingGatherer(driver, trainer.store)
        batch = log.batch(0, 24)
        split = driver.classify(batch)
        working = gatherer.finish(gatherer.begin(split, False))
        assert working is not None
        before = trainer.store.cold.clone()
        for wrong in (
            replace(working, keys=np.roll(working.keys, 1)),
            replace(working, places=np.where(np.arange(96) == 5, -1, working.places)),
        ):
            with pytest.raises(OwnershipError, match=r"row \d+ of table \d is cold, and place -?\d+ of the working"):
                trainer.step(batch, split.popular, split.slots, wrong)
        assert torch.equal(trainer.store.cold, before)


def test_cold_rows_in_memory_of_their_own_cannot_be_gathered() -> None:
    with ModelDevice(ROOMY) as device, pytest.raises(ValueError, match="not in memory that the accelerator reaches"):
        WorkingGatherer(Driver(device), EmbeddingStore(ROWS, 4, 8))
    with ModelDevice(ROOMY) as device, pytest.raises(DriverError, match="both must be multiples of 16"):
        WorkingGatherer(Driver(device), EmbeddingStore(ROWS, 5, 8, memory=device.memory))
