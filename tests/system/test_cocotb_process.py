"""The simulator's process behind a `CocotbDevice`: how it ends, and where it records waves."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hotline_device.device import DeviceError
from hotline_hw.spec.params import PRESETS
from hotline_hw.spec.regmap import ID_VALUE
from hotline_sim.cocotb_backend import CocotbDevice
from tests.support.tools import needs, simulators

TINY = PRESETS["tiny"]
pytestmark = needs("g++")


@pytest.mark.parametrize("simulator", simulators("icarus", "verilator"))
def test_simulator_that_dies(simulator):
    device = CocotbDevice(TINY, simulator)
    folder = device._session.folder
    assert device._session._process is not None
    os.killpg(device._session._process.pid, signal.SIGKILL)
    with pytest.raises(DeviceError, match=f"{simulator} has ended. The end of its log"):
        device.read(0)
    device.close()
    assert not folder.exists()


FORGOTTEN = """
import os, sys
from hotline_hw.spec.params import PRESETS
from hotline_sim.cocotb_backend import CocotbDevice
device = CocotbDevice(PRESETS["tiny"], sys.argv[1])
print(device._session.folder, device._session._process.pid, flush=True)
"""


@pytest.mark.parametrize("end", ["", "os.kill(os.getpid(), 9)"], ids=["ends", "killed"])
@pytest.mark.parametrize("simulator", simulators("icarus", "verilator"))
def test_forgotten_device_leaves_nothing_behind(simulator, end):
    """One program ends without close(), another one is killed."""
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    command = [sys.executable, "-c", FORGOTTEN + end, simulator]
    folder, pid = subprocess.run(command, env=env, capture_output=True, text=True).stdout.split()
    while end and (Path(folder).exists() or Path(f"/proc/{pid}").exists()):
        pass  # the simulator's side cleans up
    assert not Path(folder).exists()
    with pytest.raises(ProcessLookupError):
        os.killpg(int(pid), 0)


def test_unknown_simulator():
    with pytest.raises(DeviceError, match="no simulator 'spice'"):
        CocotbDevice(TINY, "spice")


@needs("iverilog")
def test_waves_by_environment(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WAVES", "1")
    for _ in range(2):
        with CocotbDevice(TINY, "icarus") as device:
            assert device.read(0) == ID_VALUE
    assert len(list(tmp_path.glob("hotline-*.fst"))) == 2
