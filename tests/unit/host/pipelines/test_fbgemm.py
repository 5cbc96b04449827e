"""FBGEMM as a rival: it trains the same model, where it can be imported. Elsewhere it says what is missing."""

from __future__ import annotations

import sys

import numpy as np
import pytest
import torch

from hotline_host.data.log import Batch
from hotline_host.errors import SettingsError
from hotline_host.pipelines.pipeline import Pipeline, Setup
from hotline_host.pipelines.registry import RIVALS
from hotline_host.training.dlrm import ModelConfig
from hotline_host.training.trainer import TrainConfig

ROWS = np.array([40, 7, 300, 1])
STEPS, SAMPLES = 20, 64
try:
    import fbgemm_gpu
except ImportError:
    fbgemm_gpu = None

needs_fbgemm = pytest.mark.skipif(fbgemm_gpu is None, reason="needs fbgemm-gpu or fbgemm-gpu-cpu")
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")],
    ),
]


def log(multi_hot: bool) -> list[Batch]:
    rng = np.random.default_rng(5)
    batches = []
    for _ in range(STEPS):
        lengths = rng.integers(0, 4, (SAMPLES, len(ROWS))) if multi_hot else np.ones((SAMPLES, len(ROWS)), np.int64)
        tables = np.repeat(np.tile(np.arange(len(ROWS)), SAMPLES), lengths.ravel())
        dense = rng.standard_normal((SAMPLES, 3)).astype(np.float32)
        label = (rng.random(SAMPLES) < 0.4).astype(np.float32)
        batches.append(Batch(rng.integers(0, ROWS[tables]), lengths, dense, label))
    return batches


def setup(optimizer: str, batches: list[Batch], **changes) -> Setup:
    model = ModelConfig(dimension=8, bottom=(16,), top=(16,))
    return Setup(
        config=TrainConfig(model, 3, optimizer), rows=ROWS, batch_size=SAMPLES, hot_rows=64,
        batch_lookups=max(len(batch.indices) for batch in batches), **changes,
    )  # fmt: skip


def train(pipeline: Pipeline, batches: list[Batch]) -> np.ndarray:
    feed = iter(batches)
    for _ in batches:
        pipeline.progress(feed)
    return pipeline.losses()


@needs_fbgemm
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("multi_hot", [False, True])
@pytest.mark.parametrize("optimizer", ["adagrad", "sgd"])
def test_it_trains_the_same_model(optimizer, multi_hot, device):
    batches = log(multi_hot)
    settings = setup(optimizer, batches, device=device)
    with RIVALS["ordinary"](settings) as reference, RIVALS["fbgemm"](settings) as fbgemm:
        expected, losses = train(reference, batches), train(fbgemm, batches)
        np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-6)
        for theirs, ours in zip(reference.export(), fbgemm.export(), strict=True):
            for a, b in zip(theirs, ours, strict=True):
                torch.testing.assert_close(b, a, rtol=0, atol=1e-6)
        np.testing.assert_allclose(fbgemm.predict(batches[0]), reference.predict(batches[0]), rtol=0, atol=1e-5)
        if optimizer == "sgd" and not multi_hot and device == "cpu":
            np.testing.assert_array_equal(losses, expected)


@needs_fbgemm
def test_a_checkpoint_goes_both_ways():
    batches = log(True)
    settings = setup("adagrad", batches)
    with RIVALS["ordinary"](settings) as reference, RIVALS["fbgemm"](settings) as fbgemm:
        train(reference, batches[:10])
        feed = iter(batches)
        fbgemm.progress(feed)  # takes the next one ahead, which is dropped
        fbgemm.load_state_dict(reference.state_dict())
        fbgemm.losses()
        np.testing.assert_allclose(train(fbgemm, batches[10:]), train(reference, batches[10:]), rtol=0, atol=1e-6)


@needs_fbgemm
def test_a_lookup_outside_its_table_is_named():
    (batch, *_) = batches = log(False)
    batch.indices[1] = 7
    with RIVALS["fbgemm"](setup("sgd", batches)) as fbgemm, pytest.raises(IndexError, match="row 7 of table 1"):
        fbgemm.progress(iter(batches))


def test_without_the_package_one_line_says_so(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "fbgemm_gpu"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "fbgemm_gpu", None)
    with pytest.raises(SettingsError, match=r"fbgemm needs the Python package fbgemm_gpu.*which is not installed"):
        RIVALS["fbgemm"](setup("sgd", log(False)))


def test_float64_is_refused():
    with pytest.raises(SettingsError, match="dtype is torch.float64; FBGEMM's operator trains float32 rows here"):
        RIVALS["fbgemm"](setup("sgd", log(False), dtype=torch.float64))
