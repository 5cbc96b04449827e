"""The driver in C, written from the documents, drives every accelerator that there is here."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from hotline_device.registry import BACKENDS, open_device
from hotline_hw.spec.params import preset
from tests.support.tools import needs, reason_to_skip

EXAMPLE = Path(__file__).parents[2] / "examples" / "c"
SIMULATED = [name for name, backend in BACKENDS.items() if backend.simulates]


def load():
    spec = importlib.util.spec_from_file_location("c_example", EXAMPLE / "run.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@needs("g++")
@pytest.mark.parametrize("backend", SIMULATED)
def test_it_runs(tmp_path, backend):
    if reason := reason_to_skip(BACKENDS[backend].check_installed):
        pytest.skip(reason)
    run = load()
    with open_device(backend, preset("tiny")) as device:
        assert run.run_example(run.compile_example(tmp_path), device) == ""


@needs("g++")
@pytest.mark.parametrize("name", ["edge", "kaggle"])
def test_it_runs_with_every_geometry(tmp_path, name):
    run = load()
    with open_device("model", preset(name)) as device:
        assert run.run_example(run.compile_example(tmp_path), device) == ""


@needs("g++")
@pytest.mark.parametrize(("right", "wrong", "told"), [
    ("descriptor.operand = TABLES;", "descriptor.operand = 0;", "status"),
    ("ROW_BYTES / HOTLINE_GRANULE_BYTES", "2 * ROW_BYTES / HOTLINE_GRANULE_BYTES", "content"),
    ("HOTLINE_WINDOW_0_CONTROL_READ_MASK | HOTLINE_WINDOW_0_CONTROL_WRITE_MASK",
     "HOTLINE_WINDOW_0_CONTROL_READ_MASK", ""),
    ("first[value >> HOTLINE_PLACE_BANK_SHIFT] +", "1 +", "content"),
])  # fmt: skip
def test_its_checks_can_fail(tmp_path, right, wrong, told):
    """A mistake in it is an error that it returns, and no crash."""
    run = load()
    text = run.SOURCE.read_text()
    assert text.count(right) == 1
    source = tmp_path / "hotline.c"
    source.write_text(text.replace(right, wrong))
    with open_device("model", preset("tiny")) as device:
        answer = run.run_example(run.compile_example(tmp_path, source), device)
    assert answer.startswith("failed: ") and told in answer


def test_it_is_short_and_stands_alone():
    text = (EXAMPLE / "hotline.c").read_text()
    assert len(text.splitlines()) < 200
    includes = [line.split()[1] for line in text.splitlines() if line.startswith("#include")]
    assert includes == ["<stddef.h>", "<stdint.h>", '"hotline_regs.h"']
