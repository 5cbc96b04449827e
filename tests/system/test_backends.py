"""Every backend through the command line, and what a user is told if something that a backend needs is missing."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from hotline_device.device import DeviceError
from hotline_device.registry import BACKENDS, open_device
from hotline_host.commands.main import app
from hotline_hw.spec.params import PRESETS
from hotline_sim.build.tools import find_cocotb
from tests.support.tools import backends

TINY = PRESETS["tiny"]
SIMULATED = [name for name, backend in BACKENDS.items() if backend.simulates]


@pytest.fixture
def data(tmp_path) -> str:
    """A log of 200 samples, two tables of 20 rows."""
    rng = np.random.default_rng(3)
    np.savez(tmp_path / "log.npz", sparse=rng.integers(0, 20, (200, 2)), label=rng.random(200) < 0.5)
    return f"npz:{tmp_path / 'log.npz'}"


@pytest.mark.parametrize("backend", backends(*SIMULATED))
def test_split(backend, data, tmp_path):
    """Each backend splits as the golden model does. It counts clock cycles and has a memory if its entry says so."""
    arrays = {}
    for name in (backend, "model"):
        out, figures = tmp_path / f"{name}.npz", tmp_path / f"{name}.json"
        result = CliRunner().invoke(
            app, ["split", "--data", data, "--preset", "tiny", "--backend", name, "--batch-size", "64",
                  "--memory", "ddr4-local", "--out", str(out), "--json", str(figures)],
        )  # fmt: skip
        assert result.exit_code == 0, result.output
        with np.load(out) as loaded:
            arrays[name] = dict(loaded)
        said, entry = json.loads(figures.read_text()), BACKENDS[name]
        assert said["backend"] == name and (said["cycles"] is not None) == entry.has_clock
        assert said["memory"] == ("ddr4-local" if "timing" in entry.options else None)
    for key, expected in arrays["model"].items():
        np.testing.assert_array_equal(arrays[backend][key], expected)


@pytest.mark.skipif(Path("/dev/xdma0_user").exists(), reason="there is a card")
@pytest.mark.parametrize("command", ["cosim", "split", "probe"])
def test_no_card(command, data):
    options = [] if command == "probe" else ["--data", data]
    result = CliRunner().invoke(app, [command, *options, "--preset", "tiny", "--backend", "xdma"])
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert "/dev/xdma0_user, the accelerator's registers, cannot be opened: No such file" in result.stderr
    assert "load the driver" in result.stderr and "lspci" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--backend", "fpga"], "unknown backend 'fpga'; the backends are model, verilated, cocotb, cocotb:icarus"),
        (
            ["--backend", "model", "--set", "axi_bits=0", "--set", "working_rows=0", "--set", "read_tags=0",
             "--set", "read_beats=0"],
            "geometry tiny-custom has no AXI manager (axi_bits=0), so it is a stream core and not a device",
        ),
    ],
)  # fmt: skip
@pytest.mark.parametrize("command", ["cosim", "split", "probe"])
def test_refused(command, options, message, data):
    more = [] if command == "probe" else ["--data", data]
    result = CliRunner().invoke(app, [command, *more, "--preset", "tiny", *options])
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.output
    assert message in result.stderr


@pytest.mark.parametrize(
    ("backend", "there", "message"),
    [
        ("verilated", [], "neither .* is on PATH. Install a C"),
        ("cocotb:icarus", [], "neither .* is on PATH. Install a C"),
        ("cocotb:verilator", [], "neither .* is on PATH. Install a C"),
        ("verilated", ["g++"], "make is not on PATH"),
        ("verilated", ["g++", "make"], "perl is not on PATH|no Verilator"),
        ("cocotb:verilator", ["g++", "make"], "perl is not on PATH|no Verilator"),
        ("cocotb:icarus", ["g++"], "iverilog is not on PATH. Install Icarus Verilog"),
        ("cocotb:icarus", ["g++", "iverilog"], "vvp is not on PATH. Install Icarus Verilog"),
    ],
)
def test_one_tool_is_missing(backend, there, message, monkeypatch, tmp_path):
    for name in there:
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    for name in ("VERILATOR_ROOT", "CXX"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DeviceError, match=message):
        open_device(backend, TINY)


def test_no_cocotb(monkeypatch):
    monkeypatch.setitem(sys.modules, "cocotb_tools", None)
    with pytest.raises(DeviceError, match=r"needs cocotb. Install it: pip install 'cocotb>="):
        find_cocotb()
