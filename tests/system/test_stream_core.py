"""The stream core alone: golden model and Verilated hardware give the same bits and keep the same contract.

tests/cocotb/test_core.py runs it in other simulators.
"""

from __future__ import annotations

import functools
import os
import re
import signal
import subprocess
import sys
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from hotline_device.device import BusError, DeviceError, DeviceTimeout
from hotline_hw.spec.params import PRESETS
from hotline_hw.spec.policy import Policy, pack_policy
from hotline_hw.spec.regmap import COUNTERS, ID_VALUE, Command, Irq, Phase
from hotline_hw.spec.words import AGE_FIELD, COUNTER_FIELD
from hotline_sim.bench.stimulus import random_batches, random_front
from hotline_sim.model.core_backend import ModelCore
from hotline_sim.stream_core import StreamCore
from hotline_sim.verilated import VerilatedCore
from tests.support.registers import Registers, send, until_idle
from tests.support.tools import needs

pytestmark = needs("verilator")

TINY = PRESETS["tiny"]
TIMING = {counter.name for counter in COUNTERS if counter.timing}
# Neither all entries nor the same number of ways in every set.
HOT_ROWS = 21


def command(csr: Registers, code: Command) -> None:
    until_idle(csr)
    csr["COMMAND"] = int(code)


def dump(csr: Registers) -> np.ndarray:
    command(csr, Command.DUMP)
    return csr.device.receive_state(TINY.state_rows_per_set << csr["INDEX_BITS"], TINY.ways)


def recounted(rng: np.random.Generator, rows: np.ndarray) -> np.ndarray:
    """A dump with other counters and ages."""
    rows = rows.copy()
    counters = rng.integers(0, 1 << TINY.counter_bits, rows[::2].shape, dtype=np.uint64) << np.uint64(COUNTER_FIELD.low)
    keep = np.uint64(~(COUNTER_FIELD.mask << COUNTER_FIELD.low) & (1 << 64) - 1)
    rows[::2] = np.where(rows[::2] != 0, rows[::2] & keep | counters, rows[::2])
    rows[1::2, 0] ^= rng.integers(0, 4, len(rows) // 2, dtype=np.uint64) << np.uint64(AGE_FIELD.low)
    return rows


def exercise(device: StreamCore, seed: int) -> tuple[list[np.ndarray], dict[str, int]]:
    """Everything that a device reports over all commands and phases: arrays in order, and counters by name."""
    csr = Registers(device)
    rng = np.random.default_rng(seed)
    heard: list[np.ndarray] = []
    until_idle(csr)
    csr["HOT_ROWS"] = HOT_ROWS
    stream = random_batches(
        rng, TINY, 16, lookups=4, hot_keys=8, hot_share=0.9, index_errors=0.02, long_errors=0.03, open_errors=0.1
    )
    for part, phase in enumerate((Phase.LEARN, Phase.CLASSIFY, Phase.RELEARN, Phase.CLASSIFY)):
        until_idle(csr)
        csr["CONTROL"] = int(Phase.FRONT)
        heard += astuple(send(device, [random_front(rng, TINY, stream[4 * part], least=1)]))
        until_idle(csr)
        csr["CONTROL"] = int(phase)
        heard += astuple(send(device, stream[4 * part : 4 * part + 4]))
        rows = dump(csr)
        heard.append(rows)
        command(csr, Command.RESTORE)
        device.send_state(recounted(rng, rows))
        heard.append(dump(csr))
        until_idle(csr)
        policy = Policy(age_period=int(rng.integers(0, 4)), select_start=int(rng.integers(0, 20)), move_limit=6)
        for name, value in pack_policy(policy).items():
            csr[name] = value
        command(csr, Command.SELECT)
        heard.append(device.receive_events(TINY.max_moves + 1, TINY.ways))
        until_idle(csr)
        heard.append(np.array([csr["HOT_COUNT"], csr["THRESHOLD"]]))
    command(csr, Command.SNAPSHOT)
    until_idle(csr)
    heard.append(np.array([csr["ERROR"], csr["IRQ_STATUS"], csr["HOT_ROWS"], csr["INDEX_BITS"]]))
    return heard, {counter.name: csr.counter(counter.name) for counter in COUNTERS}


@functools.cache
def exercised(kind: type[ModelCore | VerilatedCore], seed: int = 1) -> tuple[list[np.ndarray], dict[str, int]]:
    with kind(TINY) as device:
        return exercise(device, seed)


def assert_equal(heard: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(heard) == len(expected)
    for index, (mine, theirs) in enumerate(zip(heard, expected, strict=True)):
        np.testing.assert_array_equal(mine, theirs, err_msg=f"item {index}")


def test_same_as_the_model():
    heard, counters = exercised(VerilatedCore)
    expected, expected_counters = exercised(ModelCore)
    assert_equal(heard, expected)
    for name in set(counters) - TIMING:
        assert counters[name] == expected_counters[name], name
    assert counters["cycles"] > counters["lookups"] / TINY.lanes
    assert counters["select_cycles"] > 0 and counters["promotions"] > 0
    assert counters["popular_samples"] > 0


@pytest.mark.parametrize("seed", range(10))
def test_results_do_not_depend_on_stalls(seed):
    """Ten patterns, from streams that are hardly held back to streams that mostly are."""
    probability = {
        port: float(p)
        for port, p in zip(
            ("s_axis_lookup", "s_axis_state", "m_axis_popular", "m_axis_nonpopular", "m_axis_state"),
            np.random.default_rng(seed).choice([0.0, 0.2, 0.5, 0.9], 5),
            strict=True,
        )
    } | {"m_axis_nonpopular": 0.8}
    runs = []
    for _ in range(2):
        with VerilatedCore(TINY, stall_seed=seed, stall_probability=probability) as device:
            runs.append((*exercise(device, seed=1), device.cycles))
    expected, expected_counters = exercised(VerilatedCore)
    (heard, counters, cycles), again = runs
    assert_equal(heard, expected)
    assert {name: counters[name] for name in counters if name not in TIMING} == {
        name: expected_counters[name] for name in expected_counters if name not in TIMING
    }
    assert counters["output_stall"] > expected_counters["output_stall"]
    assert (counters, cycles) == (again[1], again[2])  # the same seed, the same cycles


@pytest.fixture
def device():
    with VerilatedCore(TINY, quiet_limit=300) as device:
        yield device


def test_contract(device):
    """Refusals, time-outs and interrupts. None of them harms the device."""
    csr = Registers(device)
    assert csr["ID"] == ID_VALUE
    with pytest.raises(BusError, match="read of offset 0xffc"):
        device.read(0xFFC)
    with pytest.raises(BusError, match="read-only"):
        csr["ID"] = 1
    with pytest.raises(BusError, match="12 bits"):
        device.read(0x1000)
    with pytest.raises(ValueError, match="32 bits"):
        csr["HOT_ROWS"] = 1 << 32
    until_idle(csr)

    with pytest.raises(DeviceTimeout, match="DUMP.*300 clock cycles"):
        device.receive_state(8, TINY.ways)
    with pytest.raises(DeviceTimeout, match="SELECT.*300 clock cycles"):
        device.receive_events(9, TINY.ways)
    with pytest.raises(DeviceTimeout, match="RESTORE.*300 clock cycles"):
        device.send_state(np.zeros((8, TINY.ways), np.uint64))
    with pytest.raises(DeviceTimeout, match="irq.*300 clock cycles"):
        device.wait_irq()
    csr["IRQ_ENABLE"] = int(Irq.COMMAND_DONE)
    csr["IRQ_STATUS"] = int(Irq.COMMAND_DONE)
    csr["COMMAND"] = int(Command.CLEAR)
    device.wait_irq()
    assert not dump(csr).any()

    with pytest.raises(ValueError, match="ends must increase"):
        device.stream(np.zeros(3, np.uint64), np.array([2, 2, 3]))
    with pytest.raises(ValueError, match="words must be uint64"):
        device.stream(np.zeros(3), np.array([3]))
    with pytest.raises(ValueError, match=r"entries must be uint64 \[rows, 4\]"):
        device.send_state(np.zeros((8, 3), np.uint64))
    nothing = device.stream(np.zeros(0, np.uint64), np.zeros(0, np.int64))
    assert [len(part) for part in astuple(nothing)] == [0, 0, 0, 0]

    command(csr, Command.DUMP)
    with pytest.raises(DeviceError, match=r"holds 128 entries, not 100 rows of 4|sent more words"):
        device.receive_state(100, TINY.ways)
    device.close()
    device.close()
    with pytest.raises(DeviceError, match="closed"):
        csr["ID"]


def test_reset_after_a_transfer_that_failed(device):
    csr = Registers(device)
    until_idle(csr)
    command(csr, Command.DUMP)
    with pytest.raises(DeviceError, match="more words"):
        device.receive_state(2, TINY.ways)
    with pytest.raises(DeviceError, match=r"failed, so the core is in the middle of it: reset\(\) or close"):
        csr["ID"]
    device.reset()
    until_idle(csr)
    assert not dump(csr).any()

    send(device, random_batches(np.random.default_rng(1), TINY, 4))
    command(csr, Command.SELECT)
    with pytest.raises(DeviceError, match="more words"):
        device.receive_events(2, TINY.ways)
    device.reset()
    until_idle(csr)
    assert csr["HOT_COUNT"] == 0


@pytest.mark.slow
def test_devices_of_two_geometries_in_one_process():
    """test_device_identity.py has two whole accelerators."""
    other = TINY.override({"lanes": 4, "counter_bits": 6})
    with VerilatedCore(TINY) as first, VerilatedCore(other) as second, VerilatedCore(TINY) as third:
        second.reset()
        assert [Registers(d)["CAP_STREAM"] & 0xFF for d in (first, second, third)] == [2, 4, 2]
        assert_equal(exercise(first, 1)[0], exercised(ModelCore)[0])
        assert_equal(exercise(third, 1)[0], exercised(ModelCore)[0])


INTERRUPTED = """
import numpy as np
from hotline_hw.spec.params import PRESETS
from hotline_device.device import DeviceError
from hotline_sim.verilated import VerilatedCore

with VerilatedCore(PRESETS["tiny"]) as device:
    words = np.full(1 << 23, 1 << 63, np.uint64)
    print("ready", flush=True)
    try:
        device.stream(words, np.array([len(words)]))
    except KeyboardInterrupt:
        try:
            device.read(0)
        except DeviceError as error:
            print(error, flush=True)
        raise
"""


def test_ctrl_c_in_a_run():
    """Ctrl-C ends the call, and the core reports the interruption."""
    VerilatedCore(TINY).close()  # so that it is built
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with pytest.raises(subprocess.TimeoutExpired):
        process.wait(1)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode != 0 and "KeyboardInterrupt" in err
    assert re.match(r"streaming 1 mini-batches of \d+ lookups was interrupted", out)


@pytest.mark.slow
def test_two_processes_build_at_once(tmp_path):
    script = """
from hotline_hw.spec.params import PRESETS
from hotline_sim.verilated import VerilatedCore
with VerilatedCore(PRESETS["tiny"].override({"ways": 2})) as device:
    print(hex(device.read(0)), device.library)
"""
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), HOTLINE_CACHE=str(tmp_path))
    runs = [
        subprocess.Popen(
            [sys.executable, "-c", script], env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(2)
    ]
    said = [run.communicate() for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert said[0][0] == said[1][0] and said[0][0].startswith(hex(ID_VALUE))
    assert sorted(err.count("building the Verilated core") for _, err in said) == [0, 1]


def test_compiler_that_fails(monkeypatch, tmp_path):
    compiler = tmp_path / "c++"
    compiler.write_text("#!/bin/sh\necho 'no space left' >&2\nexit 1\n")
    compiler.chmod(0o755)
    monkeypatch.setenv("CXX", str(compiler))
    monkeypatch.setenv("HOTLINE_CACHE", str(tmp_path / "cache"))
    with pytest.raises(DeviceError, match=r"(?s)compiling Verilator.s own .* failed.*\.log.*no space left") as error:
        VerilatedCore(TINY)
    log = next(word for word in str(error.value).split() if word.endswith(".log:")).rstrip(":")
    assert "no space left" in Path(log).read_text()


def test_stall_arguments():
    with pytest.raises(ValueError, match="no stream 'lookup'; the streams are s_axis_lookup"):
        VerilatedCore(TINY, stall_seed=1, stall_probability={"lookup": 0.5})
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        VerilatedCore(TINY, stall_seed=1, stall_probability=1.0)
    with pytest.raises(ValueError, match=r"must end in \.fst or \.vcd"):
        VerilatedCore(TINY, waves="waves.txt")


@pytest.mark.slow
def test_waves(tmp_path):
    path = tmp_path / "waves.vcd"
    with VerilatedCore(TINY, waves=path) as device:
        assert device.read(0) == ID_VALUE
    assert path.stat().st_size > 1000
    assert "s_axis_lookup_tdata" in path.read_text()
