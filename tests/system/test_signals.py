"""Signals end a command with one line, and nothing of it is left. test_cli.py tests Ctrl-C while training."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hotline_hw.spec.params import PRESETS
from hotline_sim.build.cache import builds_folder
from hotline_sim.build.verilog import DEVICE_TOP, core_verilog
from tests.support.command import environment, run, start

ENDINGS = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated"), signal.SIGHUP: (129, "hung up")}
COSIM = ("cosim", "--data", "synthetic:kaggle", "--samples", 2000, "--preset", "tiny", "--steps", 10**8)
every_signal = pytest.mark.parametrize("number", list(ENDINGS), ids=lambda number: number.name)


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "temporary").mkdir()
    monkeypatch.setenv("TMPDIR", str(tmp_path / "temporary"))


def wait_until(condition: Callable[[], object], process: subprocess.Popen) -> None:
    end = time.monotonic() + 300
    while not condition():
        assert process.poll() is None and time.monotonic() < end, process.communicate()
        time.sleep(0.05)


def ends(process: subprocess.Popen[str], number: int, line: str) -> None:
    """The process ends with one line after a signal that comes twice, as from `timeout`."""
    process.send_signal(number)
    process.send_signal(number)
    output, errors = process.communicate(timeout=60)
    code, word = ENDINGS[signal.Signals(number)]
    told = [text for text in errors.splitlines() if not text.startswith("hotline: building")]
    assert told == [f"hotline: {word} while {line}; no result was written"], errors
    assert (process.returncode, output) == (code, "")


@every_signal
def test_while_starting(number):
    """A module that is imported late. It says that the first imports are under way, and takes its time."""
    Path("filelock.py").write_text("open('importing', 'w').close()\nimport time\ntime.sleep(60)\n")
    process = start("registers", env=environment(PYTHONPATH=os.pathsep.join([os.getcwd(), *sys.path])))
    wait_until(Path("importing").exists, process)
    ends(process, number, "starting")


def test_while_a_command_imports():
    """Torch aborts the process if an exception ends its import. So the signal waits until the import is done."""
    Path("torch.py").write_text("open('importing', 'w').close()\nimport time\ntime.sleep(2)\nprint('all of it')\n")
    path = os.pathsep.join([os.getcwd(), *sys.path])
    process = start(*COSIM, "--backend", "model", env=environment(PYTHONPATH=path, PYTHONUNBUFFERED=1))
    wait_until(Path("importing").exists, process)
    process.send_signal(signal.SIGTERM)
    output, errors = process.communicate(timeout=60)
    assert output == "all of it\n"
    assert "Ended" not in errors


def has_ended(process: int) -> bool:
    """Whether a process is gone, or is only waiting for its new parent to look."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


@every_signal
def test_while_a_simulator_is_built(number, tmp_path):
    """The compiler ends too, and nothing is left of the build."""
    step = tmp_path / "pid"
    compiler = tmp_path / "compiler"
    lines = ['case "$*" in *--version*|*-E*) exec g++ "$@";; esac', f"echo $$ > {step}.new", f"mv {step}.new {step}"]
    compiler.write_text("\n".join(["#!/bin/sh", *lines, "exec sleep 600", ""]))
    compiler.chmod(0o755)
    core_verilog(PRESETS["tiny"], DEVICE_TOP)  # so that all three need not generate it
    for kept in builds_folder().glob("verilog-tiny-*"):
        if kept.is_dir() and "." not in kept.name:
            shutil.copytree(kept, tmp_path / "cache" / "builds" / kept.name)
    env = environment(CXX=compiler, HOTLINE_CACHE=tmp_path / "cache")
    process = start("probe", "--preset", "tiny", "--backend", "verilated", env=env)
    wait_until(step.exists, process)
    ends(process, number, "opening verilated")
    assert has_ended(int(step.read_text()))
    kept = [path.name for path in (tmp_path / "cache" / "builds").iterdir() if path.is_dir()]
    assert {name.partition("-")[0] for name in kept} == {"verilog"}, "that was finished"
    assert list((tmp_path / "temporary").iterdir()) == []


def test_a_signal_that_is_ignored_stays_ignored():
    """SIGHUP is ignored, as under nohup."""

    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = start("registers", preexec_fn=ignore)
    while process.poll() is None:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.05)
    assert process.returncode == 0 and "HOT_ROWS" in process.communicate()[0]


def test_without_a_home_and_without_a_place(tmp_path):
    """test_cache_folder.py tests what replaces the home folder. Here a whole command works without one."""
    code, output, errors = run(
        *COSIM[:-1], 2, "--backend", "model", "--batch-size", 64, "--report", "out",
        env=environment(HOME="/nonexistent", XDG_CACHE_HOME="/proc/none", HOTLINE_CACHE=""),
    )  # fmt: skip
    assert (code, errors) == (0, "") and "popular samples" in output
