"""Every example trains, and its losses are those of the same model with `nn.EmbeddingBag`."""

from __future__ import annotations

import difflib
import re
import runpy
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import hotline
from tests.support.command import environment
from tests.support.gathering_runs import ROOMY
from tests.support.reference_bags import Rule, rowwise_adagrad, torchs, twin

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
RULES: dict[str, tuple[Callable, Rule, bool]] = {
    "dlrm": (lambda: hotline.RowwiseAdagrad(0.05), rowwise_adagrad(0.05, 1e-3), False),
    "dcn_v2": (lambda: hotline.Adagrad(0.05), torchs(lambda rows: torch.optim.Adagrad(rows, lr=0.05)), False),
    "two_tower": (lambda: hotline.RowwiseAdagrad(0.1), rowwise_adagrad(0.1, 1e-3), False),
    "sequence": (lambda: hotline.Adam(0.01), torchs(lambda rows: torch.optim.SparseAdam(rows, lr=0.01)), True),
}
"""The optimizer, the same for `nn.EmbeddingBag`, and whether that takes sparse gradients."""
NAMES = pytest.mark.parametrize("name", RULES)
STEPS = 40


def example(name: str) -> SimpleNamespace:
    return SimpleNamespace(**runpy.run_path(str(EXAMPLES / f"{name}.py")))


@pytest.fixture
def float64() -> Iterator[None]:
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


def losses_told(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"\d+\.\d+", text)]


@NAMES
def test_the_losses_are_those_of_embedding_bags(name: str, float64) -> None:
    of, (optimizer, rule, sparse) = example(name), RULES[name]
    data = of.clicks if hasattr(of, "clicks") else of.batches
    emb = hotline.EmbeddingBagCollection(
        of.TABLES, optimizer=optimizer(), accelerator="model", preset=ROOMY, hot_rows=32, check=True,
        follow=hotline.FollowOptions(relearn_share=1.0, select_every=4),
    )  # fmt: skip
    reference = twin(emb, rule, sparse=sparse)
    losses = of.train(emb, hotline.prefetch(data(STEPS), emb))
    np.testing.assert_allclose(losses, of.train(reference, data(STEPS)), rtol=0, atol=1e-12)
    assert len(losses) == STEPS
    figures = emb.figures()
    assert figures["moved"] > 0 and figures["hits"] > 0
    assert (figures["gathered"] > 0) == (len({table.embedding_dim for table in of.TABLES}) == 1)
    for table, weight in reference.weights().items():
        torch.testing.assert_close(emb.weights()[table], weight, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [*RULES, "adopt", "adopt_plain", "distributed", "resume"])
def test_it_runs_and_learns(name: str, capsys, tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)  # where checkpoints go
    torch.manual_seed(0)
    example(name).main(150)
    first, last = losses_told(capsys.readouterr().out)
    assert last < 0.97 * first


@pytest.mark.parametrize("name", [*RULES, "adopt", "adopt_plain", "distributed", "resume"])
def test_it_is_short(name: str) -> None:
    assert len((EXAMPLES / f"{name}.py").read_text().splitlines()) < 80


def test_the_distributed_one_is_the_same_in_two_processes(capsys) -> None:
    example("distributed").main(150)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    program = f"import runpy; runpy.run_path({str(EXAMPLES / 'distributed.py')!r})['main'](150)"
    two = subprocess.run(
        [*torchrun, "--no-python", sys.executable, "-c", program], env=environment(OMP_NUM_THREADS=1),
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert two.returncode == 0, two.stderr
    np.testing.assert_allclose(losses_told(two.stdout), losses_told(capsys.readouterr().out), rtol=0, atol=2e-3)


# Adoption


def changes() -> list[str]:
    before, after = ((EXAMPLES / f"{name}.py").read_text().splitlines() for name in ("adopt_plain", "adopt"))
    return [
        line
        for line in difflib.unified_diff(before, after, lineterm="", n=0)
        if not line.startswith(("---", "+++", "@@"))
    ]


def test_adoption_is_five_changed_lines() -> None:
    written = [line for line in changes() if line.startswith("+") and line.strip("+ ")]
    assert len(written) == 5, written


def test_the_guide_shows_them() -> None:
    guide = (ROOT / "docs" / "guide" / "adopt.md").read_text()
    missing = [line for line in changes() if line.strip("+- ") and line not in guide]
    assert not missing, "docs/guide/adopt.md lacks changed lines of examples/adopt.py"


def test_the_adopted_model_trains_as_the_plain_one(float64) -> None:
    plain, adopted = example("adopt_plain"), example("adopt")
    before, after = plain.Model(), adopted.Model()
    after.top.load_state_dict(before.top.state_dict())
    after.emb.load_weights({name: bag.weight for name, bag in before.emb.items()})
    losses = adopted.train(after, adopted.loader(STEPS))
    np.testing.assert_allclose(losses, plain.train(before, plain.loader(STEPS)), rtol=0, atol=1e-12)
    for name, bag in before.emb.items():
        torch.testing.assert_close(after.emb.weights()[name], bag.weight.detach(), rtol=0, atol=1e-12)
