"""The public module on a GPU, against `nn.EmbeddingBag` on the CPU. Needs the golden model, no simulator."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import hotline
from tests.support.collections_of_bags import ALL_KINDS, ONE_D, SUMS, batches, check_equal, collection, loss_of, train
from tests.support.reference_bags import Rule, rowwise_adagrad, sgd, torchs, twin

pytestmark = [
    pytest.mark.cuda,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]

CLOSE = {"rtol": 0, "atol": 1e-9}
ACCELERATED = pytest.mark.parametrize("accelerator", ["model", None])


@ACCELERATED
@pytest.mark.parametrize("tables", [ONE_D, ALL_KINDS], ids=["one D", "all kinds"])
@pytest.mark.parametrize(
    ("optimizer", "rule"),
    [
        (hotline.SGD, sgd(0.5)),
        (hotline.RowwiseAdagrad, rowwise_adagrad(0.5, 1e-3)),
        (hotline.Adagrad, torchs(lambda weights: torch.optim.Adagrad(weights, lr=0.5))),
    ],
    ids=["SGD", "RowwiseAdagrad", "Adagrad"],
)
def test_a_gpu_trains_as_embedding_bags_do(accelerator: str | None, tables: list, optimizer, rule: Rule) -> None:
    emb = collection(tables, accelerator=accelerator, optimizer=optimizer(0.5), device="cuda", accumulate=2)
    reference = twin(emb, rule, accumulate=2)
    losses = train(emb, hotline.prefetch(batches(tables, 20), emb), accumulate=2)
    np.testing.assert_allclose(losses, train(reference, batches(tables, 20), accumulate=2), **CLOSE)
    check_equal(emb, reference, CLOSE)
    assert loss_of(emb.eval()(next(batches(tables, 1)))).device.type == "cuda"


@ACCELERATED
@pytest.mark.parametrize("check", [False, True])
def test_weights_and_lookups_on_the_gpu(accelerator: str | None, check: bool) -> None:
    emb = collection(SUMS, accelerator=accelerator, device="cuda", check=check)
    reference = twin(emb, sgd(0.5))
    feed = [features.to("cuda") for features in batches(SUMS, 15, weighted=True)]
    losses = train(emb, hotline.prefetch(feed, emb))
    np.testing.assert_allclose(losses, train(reference, batches(SUMS, 15, weighted=True)), **CLOSE)
    check_equal(emb, reference, CLOSE)


def test_two_runs_are_equal_bit_for_bit() -> None:
    runs = []
    for _ in range(2):
        emb = collection(ONE_D, device="cuda", dtype=torch.float32, check=False)
        runs.append((train(emb, hotline.prefetch(batches(ONE_D, 20), emb)), emb.weights()))
    assert runs[0][0] == runs[1][0]
    assert all(torch.equal(runs[0][1][name], runs[1][1][name]) for name in runs[0][1])
