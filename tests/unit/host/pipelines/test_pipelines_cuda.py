"""The pipelines on a GPU, against ordinary training on the CPU. Needs PyTorch and the golden model, no simulator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hotline_host.data.minibatches import MiniBatches
from hotline_host.pipelines.pipeline import Pipeline
from hotline_host.pipelines.pooled import PooledPipeline
from hotline_host.pipelines.registry import PIPELINES
from hotline_host.training.pool_trainer import PoolTrainer
from hotline_host.training.trainer import max_parameter_difference
from tests.support.gathering_runs import SAMPLES, drifting_log, setup, train

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

KINDS = pytest.mark.parametrize(
    ("optimizer", "multi_hot"), [("sgd", False), ("sgd", True), ("adagrad", False), ("adagrad", True)]
)
NAMES = pytest.mark.parametrize("name", PIPELINES)
POOLED = pytest.mark.parametrize("name", [name for name in PIPELINES if name != "ordinary"])
CLOSE = 1e-9
"""In float64. Sums have another order than on the CPU, and round-off grows over the steps."""


@KINDS
@NAMES
def test_a_gpu_trains_as_the_cpu_does(name: str, optimizer: str, multi_hot: bool) -> None:
    options = {"multi_hot": multi_hot, "steps": 60, "learned": 3}
    gpu, cpu = train(name, optimizer, device="cuda", **options), train("ordinary", optimizer, **options)
    np.testing.assert_allclose(gpu.losses, cpu.losses, rtol=0, atol=CLOSE)
    assert max_parameter_difference(gpu.trainer, cpu.trainer) < CLOSE
    assert name not in ("hotline", "hotline-split", "lru", "lfu") or gpu.moved > 40


@pytest.mark.parametrize("multi_hot", [False, True])
@POOLED
def test_no_row_is_read_where_it_does_not_live(name: str, multi_hot: bool) -> None:
    """With `check` the step waits for the device: here are the values tested, and not the order of the streams."""
    gpu = train(name, device="cuda", check=True, multi_hot=multi_hot, learned=3)
    cpu = train("ordinary", multi_hot=multi_hot)
    np.testing.assert_allclose(gpu.losses, cpu.losses, rtol=0, atol=CLOSE)


@POOLED
def test_float32_stays_close(name: str) -> None:
    options = {"dtype": torch.float32, "steps": 60, "learned": 3}
    gpu, cpu = train(name, device="cuda", **options), train("ordinary", **options)
    np.testing.assert_allclose(gpu.losses, cpu.losses, rtol=0, atol=1e-3)


@pytest.mark.parametrize("name", ["hotline", "lru", "static"])
def test_two_runs_are_equal_bit_for_bit(name: str) -> None:
    """Nothing adds in an order that depends on time, such as atomics do."""
    first, second = (train(name, device="cuda", dtype=torch.float32, learned=3) for _ in range(2))
    np.testing.assert_array_equal(first.losses, second.losses)
    assert max_parameter_difference(first.trainer, second.trainer) == 0


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
@POOLED
def test_a_step_does_not_wait_for_the_device(name: str, optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After the first steps, which compile kernels and capture graphs."""
    log = drifting_log(multi_hot=True, steps=40)
    batches = MiniBatches(log, 0, log.size, SAMPLES)
    launches = 0

    def watched(launch):
        def watch(self: PoolTrainer, plan) -> None:
            nonlocal launches
            launches += 1
            if plan.number < 20:
                return launch(self, plan)
            torch.cuda.set_sync_debug_mode("error")
            try:
                return launch(self, plan)
            finally:
                torch.cuda.set_sync_debug_mode("default")

        return watch

    for method in ("launch_popular", "launch_rest"):
        monkeypatch.setattr(PoolTrainer, method, watched(getattr(PoolTrainer, method)))
    with PIPELINES[name](setup(log, optimizer, device="cuda")) as pipeline:
        pipeline.prepare([batches[0]], batches)
        feed = iter(batches)
        for _ in range(40):
            pipeline.progress(feed)
        assert np.isfinite(pipeline.losses()).all() and launches == 80


def test_waiting_is_seen() -> None:
    """The check above can fail."""
    torch.cuda.set_sync_debug_mode("error")
    try:
        with pytest.raises(RuntimeError, match="synchroniz"):
            torch.ones(3, device="cuda").sum().item()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@POOLED
def test_copies_have_pinned_memory(name: str) -> None:
    """Whatever a step copies from lies in pinned memory: else the host would wait in silence."""
    log = drifting_log(multi_hot=True)
    with PIPELINES[name](setup(log, device="cuda")) as pipeline:
        assert isinstance(pipeline, PooledPipeline)
        pool, inputs = pipeline.trainer.pool, pipeline.trainer.inputs
        buffers = [*pool.staged, *pool.staged_state, *pool._returned, *pool._returned_state]
        buffers += [buffer for each in inputs for buffer in each._host.values()]
        assert all(buffer.is_pinned() for buffer in buffers if buffer.numel())
        assert pool.rows.is_cuda and pool.state.is_cuda


@pytest.mark.parametrize("earlier", ["hotline", "ordinary"])
@POOLED
def test_a_checkpoint_goes_from_one_device_to_the_other(name: str, earlier: str) -> None:
    log = drifting_log(multi_hot=True)
    batches = MiniBatches(log, 0, log.size, SAMPLES)
    half = len(batches) // 2

    def go_on(pipeline: Pipeline, first: int, last: int) -> np.ndarray:
        feed = (batches[step] for step in range(first, last))
        for _ in range(first, last):
            pipeline.progress(feed)
        return pipeline.losses()

    with PIPELINES["ordinary"](setup(log)) as reference:
        expected = go_on(reference, 0, len(batches))
    with PIPELINES[earlier](setup(log)) as cpu, PIPELINES[name](setup(log, device="cuda", seed=9)) as gpu:
        for pipeline in (cpu, gpu):
            pipeline.prepare([batches[0]], batches)
        losses = go_on(cpu, 0, half)
        gpu.progress(iter(batches))
        gpu.losses()
        gpu.load_state_dict(cpu.state_dict())
        losses = np.concatenate([losses, go_on(gpu, half, len(batches))])
    np.testing.assert_allclose(losses, expected, rtol=0, atol=CLOSE)
