"""The accelerators that a collection may have: each gives the losses of `nn.EmbeddingBag`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import hotline
from hotline_device.device import DeviceError
from hotline_device.registry import open_device
from hotline_host.data.minibatches import MiniBatches
from hotline_host.driver.driver import Driver
from hotline_host.errors import DataError, DriverError, SettingsError
from hotline_host.splitters.recording import record
from hotline_hw.spec.params import PRESETS
from tests.support.collections_of_bags import (
    ALL_KINDS,
    EXACT,
    FOLLOW,
    ONE_D,
    Config,
    Jagged,
    batches,
    check_equal,
    collection,
    of_tables,
    train,
)  # fmt: skip
from tests.support.gathering_runs import ROWS, SAMPLES, drifting_log
from tests.support.reference_bags import rowwise_adagrad, sgd, twin
from tests.support.tools import needs

LOG = MiniBatches(drifting_log(multi_hot=True), 0, 24 * SAMPLES, SAMPLES)
TABLES = [Config(name=name, num_embeddings=int(rows), embedding_dim=4) for name, rows in zip("abcd", ROWS, strict=True)]


@pytest.fixture(scope="module")
def recording(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "tiny.npz"
    with open_device("model", PRESETS["tiny"]) as device:
        driver = Driver(device)
        driver.set_hot_rows(24)
        noted = {"preset": "tiny", "backend": "model", "memory": None, "seed": 0, "row_bytes": 32, "clock_mhz": 250.0}
        record(path, driver, LOG, FOLLOW, **noted)
    return path


def test_a_recording(recording: Path) -> None:
    """It answers as the accelerator did, over the same lookups."""
    emb = collection(TABLES, accelerator=f"replay:{recording}")
    reference = twin(emb, sgd(0.5))
    losses = train(emb, hotline.prefetch(map(of_tables, LOG), emb))
    np.testing.assert_allclose(losses, train(reference, map(of_tables, LOG)), **EXACT)
    check_equal(emb, reference, EXACT)
    figures = emb.figures()
    assert figures["mini_batches"] == len(LOG) and figures["gathered"] > 0 and figures["moved"] > 0
    with pytest.raises(DataError, match="holds 24 mini-batches, and mini-batch 24 is asked for"):
        train(emb, hotline.prefetch([of_tables(LOG[0])], emb))


def test_a_recording_of_other_lookups(recording: Path) -> None:
    emb = collection(TABLES, accelerator=f"replay:{recording}")
    with pytest.raises(DataError, match="mini-batch 1 was recorded with other lookups"):
        train(emb, hotline.prefetch([of_tables(LOG[0]), of_tables(LOG[2])], emb))
    with pytest.raises(SettingsError, match="hot rows is 12, but .* was recorded with 24"):
        collection(TABLES, accelerator=f"replay:{recording}", hot_rows=12)


def test_mini_batches_that_grow_again_and_again() -> None:
    """Memory for gathered rows is made anew each time, and the accelerator has rights to a few regions only."""
    emb = collection(ONE_D)
    reference = twin(emb, sgd(0.5))
    sizes = [4 * 2**step // 3 for step in range(12)]

    def feed() -> Iterator[Jagged]:
        for samples in sizes:
            yield from batches(ONE_D, 2, samples=min(samples, 500), seed=samples)

    np.testing.assert_allclose(train(emb, hotline.prefetch(feed(), emb)), train(reference, feed()), **EXACT)
    assert emb.figures()["gathered"] > 0


def test_more_cold_rows_than_the_accelerator_can_list() -> None:
    """The host gathers them, and the figures say how often."""
    emb = collection(ONE_D, preset="tiny")
    reference = twin(emb, sgd(0.5))
    losses = train(emb, hotline.prefetch(batches(ONE_D, 12), emb))
    np.testing.assert_allclose(losses, train(reference, batches(ONE_D, 12)), **EXACT)
    figures = emb.figures()
    assert 0 < figures["unlisted"] < 12 and figures["by_host"] > 0 < figures["gathered"]


def test_the_default_follows_popularity() -> None:
    emb = collection(ONE_D, follow=None, hot_rows=None)
    train(emb, hotline.prefetch(batches(ONE_D, 30), emb))
    figures = emb.figures()
    assert emb._rows.shape.hot_rows == 32, "all that the accelerator can hold, less than a tenth"
    assert figures["moved"] > 0 and figures["hits"] > 0
    assert figures["gathered"] > figures["by_host"]


@pytest.mark.parametrize("tables", [ONE_D, ALL_KINDS], ids=["one D", "all kinds"])
def test_rows_that_the_accelerator_cannot_gather_are_gathered_by_the_host(tables: list[Config]) -> None:
    """One D of 4 float32 is what it can gather; 3 would be 12 bytes."""
    odd = [Config(name="a", num_embeddings=50, embedding_dim=3)] if tables is ONE_D else tables
    emb = collection(odd, dtype=torch.float32)
    train(emb, hotline.prefetch(batches(odd, 10), emb))
    assert emb.figures()["gathered"] == 0 < emb.figures()["by_host"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"accelerator": "modell"}, DeviceError, "unknown backend 'modell'"),
        ({"hot_rows": 10**6}, DriverError, "1000000 hot rows are beyond this accelerator's capacity"),
        ({"hot_rows": -1}, SettingsError, "hot_rows is -1"),
        ({"accumulate": 0}, SettingsError, "accumulate is 0"),
    ],
)
def test_settings_that_make_no_sense(options: dict, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        collection(ONE_D, **options)


def test_a_sample_beyond_the_accelerator_is_named() -> None:
    def feed() -> Iterator[Jagged]:
        yield from batches(ONE_D, 2)
        yield Jagged.from_dict({name: torch.zeros(2, 100, dtype=torch.int64) for name in ("a", "b1", "b2", "c")})

    emb = collection(ONE_D)
    with pytest.raises(DriverError, match="sample 0 has 400 lookups; the accelerator takes at most max_lookups = 64"):
        train(emb, hotline.prefetch(feed(), emb))
    assert len(train(emb, hotline.prefetch(batches(ONE_D, 3), emb))) == 3


@needs("verilator")
@pytest.mark.long
def test_the_rtl_in_the_loop() -> None:
    """The Verilated accelerator gives the losses of the golden model, to the bit, and those of `nn.EmbeddingBag`."""
    runs = []
    for accelerator in ("verilated", "model"):
        emb = collection(ONE_D, accelerator=accelerator, optimizer=hotline.RowwiseAdagrad(0.5))
        reference = twin(emb, rowwise_adagrad(0.5, 1e-3))
        runs.append((train(emb, hotline.prefetch(batches(ONE_D, 12), emb)), emb.figures()))
        emb.close()
    assert runs[0] == runs[1] and runs[0][1]["gathered"] > 0 < runs[0][1]["moved"]
    np.testing.assert_allclose(runs[0][0], train(reference, batches(ONE_D, 12)), **EXACT)
