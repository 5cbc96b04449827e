"""Every pipeline behind the one interface: steps, the end of the mini-batches, checkpoints, closing."""

from __future__ import annotations

import io
from collections.abc import Iterator

import numpy as np
import pytest
import torch

from hotline_device.device import DeviceError
from hotline_host.data.log import Batch
from hotline_host.data.minibatches import MiniBatches
from hotline_host.errors import DriverError, SettingsError
from hotline_host.pipelines import accelerators
from hotline_host.pipelines.hotline import HotlinePipeline
from hotline_host.pipelines.pipeline import Pipeline
from hotline_host.pipelines.registry import PIPELINES
from hotline_host.training.trainer import max_parameter_difference
from tests.support.gathering_runs import ROWS, SAMPLES, drifting_log, ordinary_step, setup

LOG = drifting_log(multi_hot=True)
LEARNED, COMING = MiniBatches(LOG, 0, 120, SAMPLES), MiniBatches(LOG, 120, 480, SAMPLES)
EXACT = 1e-12
NAMES = pytest.mark.parametrize("name", PIPELINES)
SPLITTING = pytest.mark.parametrize("name", [name for name in PIPELINES if name != "ordinary"])


def opened(name: str, **changes) -> Pipeline:
    pipeline = PIPELINES[name](setup(LOG, **{"hot_rows": 32, "check": True} | changes))
    pipeline.prepare(LEARNED, COMING)
    return pipeline


def train(pipeline: Pipeline, batches: Iterator[Batch]) -> list[float]:
    """Trains on all mini-batches. Returns their losses."""
    while True:
        try:
            pipeline.progress(batches)
        except StopIteration:
            return pipeline.losses().tolist()


@NAMES
def test_every_mini_batch_is_trained_on_once_and_in_order(name):
    with opened("ordinary") as reference, opened(name) as pipeline:
        expected = [ordinary_step(reference.trainer, batch) for batch in COMING]
        np.testing.assert_allclose(train(pipeline, iter(COMING)), expected, rtol=0, atol=EXACT)
        assert max_parameter_difference(pipeline.trainer, reference.trainer) < EXACT
        with pytest.raises(StopIteration):
            pipeline.progress(iter(()))
        assert len(train(pipeline, iter(COMING))) == len(COMING), "another iterator may follow"
        np.testing.assert_allclose(pipeline.predict(COMING[0]), pipeline.trainer.predict(COMING[0]), rtol=0, atol=0)
        tables, accumulators = pipeline.export()
        assert [len(table) for table in tables] == ROWS.tolist() == [len(each) for each in accumulators]


@NAMES
def test_what_was_trained_can_be_read_after_closing(name):
    with opened(name) as pipeline:
        train(pipeline, iter(COMING))
        before = pipeline.predict(COMING[0])
    np.testing.assert_array_equal(pipeline.predict(COMING[0]), before)
    assert all(torch.isfinite(table).all() for table in pipeline.export()[0])
    pipeline.close()


@NAMES
def test_closing_with_a_mini_batch_taken_ahead(name):
    with opened(name) as pipeline:
        pipeline.progress(iter(COMING))
    assert np.isfinite(pipeline.predict(COMING[0])).all(), "what was trained can be read, whatever was under way"


@pytest.mark.parametrize("later", PIPELINES)
@pytest.mark.parametrize("earlier", PIPELINES)
def test_any_pipeline_goes_on_from_the_checkpoint_of_any(earlier, later):
    half = len(COMING) // 2
    with opened("ordinary") as reference, opened(earlier) as first, opened(later, seed=9) as second:
        expected = train(reference, iter(COMING))
        feed = iter(COMING)
        for _ in range(half):
            first.progress(feed)  # one mini-batch is taken ahead
        losses = first.losses().tolist()
        file = io.BytesIO()
        torch.save(first.state_dict(), file)
        file.seek(0)
        second.progress(iter(COMING))  # takes one ahead too
        second.losses()
        second.load_state_dict(torch.load(file, weights_only=False))
        assert max_parameter_difference(first.trainer, second.trainer) == 0
        losses += train(second, (COMING[step] for step in range(half, len(COMING))))
        np.testing.assert_allclose(losses, expected, rtol=0, atol=EXACT)
        assert max_parameter_difference(second.trainer, reference.trainer) < EXACT


def test_a_checkpoint_brings_the_hot_rows_along():
    with opened("hotline") as first, opened("hotline") as second:
        train(first, iter(COMING))
        assert isinstance(first, HotlinePipeline) and isinstance(second, HotlinePipeline)
        assert not np.array_equal(first.trainer.hot_keys, second.trainer.hot_keys)
        second.load_state_dict(first.state_dict())
        np.testing.assert_array_equal(first.trainer.hot_keys, second.trainer.hot_keys)
        np.testing.assert_array_equal(first.driver.dump(), second.driver.dump())


def test_a_checkpoint_is_a_copy():
    with opened("ordinary") as pipeline:
        state = pipeline.state_dict()
        losses = train(pipeline, iter(COMING))
        pipeline.load_state_dict(state)
        assert train(pipeline, iter(COMING)) == losses
        pipeline.load_state_dict(state)
        assert train(pipeline, iter(COMING)) == losses


@NAMES
def test_a_checkpoint_of_another_model_changes_nothing(name):
    with opened(name) as pipeline, opened("ordinary", rows=ROWS + np.arange(4) % 2) as other:
        before = pipeline.predict(COMING[0])
        with pytest.raises(ValueError, match=r"its table 1 is \[8, 12\], here \[7, 12\]"):
            pipeline.load_state_dict(other.state_dict())
        np.testing.assert_array_equal(pipeline.predict(COMING[0]), before)


def test_a_tracker_of_another_budget_is_refused():
    with opened("hotline") as pipeline, opened("hotline", hot_rows=12) as other:
        with pytest.raises(DriverError, match="the checkpoint's tracker has 12 hot rows, and this one 32"):
            pipeline.load_state_dict(other.state_dict())


HOTLINE = pytest.mark.parametrize("name", ["hotline", "hotline-split"])


@HOTLINE
def test_what_hotline_tells(name):
    with opened(name) as pipeline:
        results = []
        feed = iter(COMING)
        for _ in COMING:
            results.append(pipeline.progress(feed))
        figures = pipeline.figures()
        splits, gathers = [each.split for each in results], [each.gather for each in results]
        assert sum(each.samples for each in splits) == COMING.samples
        assert sum(each.lookups for each in splits) == figures.counters["lookups"]
        assert sum(each.gathered for each in gathers) == figures.counters["rows_gathered"] > 100
        assert figures.placed_rows > 30 and sum(each.moved for each in splits) > 10
        assert figures.seconds.keys() == {
            "build",
            "place",
            "learn",
            "split",
            "plan",
            "pack",
            "gather",
            "wait",
            "launch",
        }
        # The host brings rows that become hot on their way, and only these.
        assert all(each.by_host <= split.moved for each, split in zip(gathers, splits, strict=True))
        assert all(each.gathered + each.held == split.working_rows for each, split in zip(gathers, splits, strict=True))


@SPLITTING
def test_every_cold_row_comes_from_somewhere(name):
    with opened(name) as pipeline:
        feed = iter(COMING)
        held = moved = 0
        for _ in COMING:
            result = pipeline.progress(feed)
            split, gather = result.split, result.gather
            held, moved = held + gather.held, moved + split.moved
            came = gather.gathered + gather.by_host + gather.held
            assert split.working_rows <= came <= split.working_rows + split.moved
        assert pipeline.figures().hbm_bytes > 0
        assert (held > 0) == (name != "resident")
        assert (moved > 0) == (name in ("hotline", "hotline-split", "lru", "lfu"))


def test_ordinary_training_tells_of_no_split():
    with opened("ordinary", accelerator=None) as pipeline:
        result = pipeline.progress(iter(COMING))
        assert result.split is result.gather is pipeline.figures().counters is None


def test_hotline_needs_an_accelerator():
    with pytest.raises(SettingsError, match="the pipeline hotline drives an accelerator; give Setup one"):
        opened("hotline", accelerator=None)


def test_a_budget_beyond_the_accelerator_closes_it(monkeypatch):
    devices = []

    def watched(*args, **options):
        devices.append(open_device(*args, **options))
        return devices[-1]

    open_device = accelerators.open_device
    monkeypatch.setattr(accelerators, "open_device", watched)
    with pytest.raises(DriverError, match="10000000000 hot rows are beyond"):
        opened("hotline", hot_rows=10**10)
    with pytest.raises(DeviceError, match="closed"):
        devices[0].read(0)


def test_mini_batches_beyond_the_accelerator_are_named_before_training():
    long = Batch(
        np.zeros(65, np.int64), np.array([[65, 0, 0, 0]]), np.zeros((1, 3), np.float32), np.zeros(1, np.float32)
    )
    with PIPELINES["hotline"](setup(LOG)) as pipeline:
        with pytest.raises(DriverError, match="mini-batch 5, sample 0 has 65 lookups"):
            pipeline.prepare(LEARNED, [long])
