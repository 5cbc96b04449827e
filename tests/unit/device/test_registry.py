"""The backends' entries are true, and the documents agree with them."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

import hotline_hw
from hotline_device.device import Device, DeviceError
from hotline_device.registry import BACKENDS, _load, backend_table, find_backend, open_device
from hotline_host.commands.main import app
from hotline_host.experiments.settings import Settings
from hotline_hw.spec.params import PRESETS

TINY = PRESETS["tiny"]
ROOT = Path(hotline_hw.__file__).parents[1]


@pytest.mark.parametrize("name", BACKENDS)
def test_an_entry_knows_its_class(name):
    backend = BACKENDS[name]
    kind = _load(backend.factory)
    assert issubclass(kind, Device)
    geometry, *others = inspect.signature(kind).parameters.values()
    assert geometry.name == "geometry" and (geometry.default is None) == (not backend.simulates)
    assert {one.name for one in others} == backend.options | backend.arguments.keys()


@pytest.mark.parametrize("name", BACKENDS)
def test_what_it_needs_can_be_looked_for(name):
    for check in BACKENDS[name].needs.values():
        assert callable(_load(check))


def test_the_contract_imports_no_simulator():
    code = "import sys, hotline_device.registry; print([m for m in sys.modules if m.startswith('hotline_sim')])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env={"PYTHONPATH": PATH})
    assert run.stdout == "[]\n", run.stderr


PATH = ":".join(str(ROOT / part) for part in (".", "sim", "host"))


def test_settings_give_a_backend_the_options_that_it_takes():
    given = {name: Settings(memory="ideal").device_options(name) for name in BACKENDS}
    assert given["model"] == given["xdma"] == {} and given["verilated"] == given["cocotb"] == {"timing": "ideal"}


def test_open_device():
    with open_device("model", TINY, reference=True) as device:
        assert device.read(0) == 0x484F544C
    for call, message in (
        (lambda: open_device("fpga", TINY), "unknown backend 'fpga'; the backends are model, verilated, cocotb"),
        (lambda: open_device("model", None), "backend model simulates: it needs a geometry"),
        (lambda: open_device("model", TINY, timing="ideal"), "model has no option timing; its options are reference"),
        (lambda: open_device("model", TINY.stream_core()), "has no AXI manager (axi_bits=0)"),
    ):
        with pytest.raises(DeviceError) as error:
            call()
        assert message in str(error.value)


def test_readme_has_the_table_of_backends():
    assert backend_table() in (ROOT / "README.md").read_text(), "put the output of backend_table() there"


def test_help_names_every_backend(monkeypatch):
    monkeypatch.setenv("COLUMNS", "400")
    for command in ("cosim", "split", "probe"):
        shown = " ".join(CliRunner().invoke(app, [command, "--help"]).stdout.split())
        assert all(find_backend(name).name in shown for name in BACKENDS), shown
