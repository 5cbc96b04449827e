"""Device memory apart from host memory, as on a GPU: every access is ordered by events."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hotline
from hotline_host.pipelines import ahead
from hotline_host.training.link import CudaLink
from tests.support import fake_link
from tests.support.at_once import AtOnce
from tests.support.collections_of_bags import ALL_KINDS, EXACT, ONE_D, batches, check_equal, collection, train
from tests.support.fake_link import FakeCuda
from tests.support.reference_bags import sgd, twin

KINDS = pytest.mark.parametrize("tables", [ONE_D, ALL_KINDS], ids=["one D", "all kinds"])
HALF = 15


def trained(emb: hotline.EmbeddingBagCollection, tables: list) -> list[float]:
    """With evaluation, another loop, larger mini-batches and a batch that is left out in between."""
    losses = train(emb, hotline.prefetch(batches(tables, HALF), emb))
    emb.eval()
    emb(next(batches(tables, 1)))
    emb.train()
    for number, features in enumerate(hotline.prefetch(batches(tables, HALF, samples=24, seed=6), emb)):
        losses += train(emb, [features]) if number != 4 else []
        if number == 4:
            emb.skip()
    return losses


def expected(emb: hotline.EmbeddingBagCollection, tables: list) -> tuple:
    reference = twin(emb, sgd(0.5))
    losses = train(reference, batches(tables, HALF))
    rest = enumerate(batches(tables, HALF, samples=24, seed=6))
    return reference, losses + train(reference, [features for number, features in rest if number != 4])


@KINDS
@pytest.mark.parametrize("accelerator", ["model", None])
def test_events_order_every_access(monkeypatch, accelerator: str | None, tables: list) -> None:
    monkeypatch.setattr(ahead, "ThreadPoolExecutor", AtOnce)
    cuda: FakeCuda = fake_link.install(monkeypatch)
    emb = collection(tables, accelerator=accelerator, check=False)
    reference, losses = expected(emb, tables)
    np.testing.assert_allclose(trained(emb, tables), losses, **EXACT)
    check_equal(emb, reference, EXACT)
    assert not cuda.races, cuda.races[:5]
    assert cuda.accesses > 5000 and len(cuda.streams) == 4


@KINDS
def test_with_threads(monkeypatch, tables: list) -> None:
    fake_link.install(monkeypatch)
    emb = collection(tables)
    reference, losses = expected(emb, tables)
    np.testing.assert_allclose(trained(emb, tables), losses, **EXACT)
    check_equal(emb, reference, EXACT)


@pytest.mark.parametrize("event", ["_copied", "_computed", "_moved"])
def test_a_wait_that_is_left_out_shows(monkeypatch, event: str) -> None:
    monkeypatch.setattr(ahead, "ThreadPoolExecutor", AtOnce)
    cuda: FakeCuda = fake_link.install(monkeypatch)
    initial = CudaLink.__init__

    def without(self: CudaLink, device: torch.device) -> None:
        initial(self, device)
        for each in getattr(self, event):
            each.record = lambda stream: None

    monkeypatch.setattr(CudaLink, "__init__", without)
    emb = collection(ONE_D, check=False)
    trained(emb, ONE_D)
    assert cuda.races
