"""Every example trains, and its losses are those of the same model with `nn.EmbeddingBag`."""

from __future__ import annotations

import re
import runpy
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import hotline
from tests.support.gathering_runs import ROOMY
from tests.support.reference_bags import rowwise_adagrad, twin

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ["dlrm"]


def example(name: str) -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(EXAMPLES / f"{name}.py")))


@pytest.fixture
def float64():
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def data(of: SimpleNamespace, steps: int):
    return (of.clicks if hasattr(of, "clicks") else of.batches)(steps)


@pytest.mark.parametrize("name", NAMES)
def test_the_losses_are_those_of_embedding_bags(name: str, float64) -> None:
    of = example(name)
    emb = hotline.EmbeddingBagCollection(
        of.TABLES, optimizer=hotline.RowwiseAdagrad(0.05), accelerator="model", preset=ROOMY, hot_rows=32,
        dtype=torch.float64, check=True, follow=hotline.FollowOptions(relearn_share=1.0, select_every=4),
    )  # fmt: skip
    reference = twin(emb, rowwise_adagrad(0.05, 1e-3))
    losses = of.train(emb, hotline.prefetch(data(of, 40), emb))
    np.testing.assert_allclose(losses, of.train(reference, data(of, 40)), rtol=0, atol=1e-12)
    assert len(losses) == 40
    assert emb._splitting.gatherer.rows > 0, "the accelerator gathered rows"
    for table, weight in reference.weights().items():
        torch.testing.assert_close(emb.weights()[table], weight, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_it_runs_and_learns(name: str, capsys) -> None:
    of = example(name)
    of.main(120)
    first, last = map(float, re.findall(r"\d+\.\d+", capsys.readouterr().out))
    assert last < 0.97 * first


@pytest.mark.parametrize("name", NAMES)
def test_it_is_short(name: str) -> None:
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) < 80
