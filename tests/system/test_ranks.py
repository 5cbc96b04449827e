"""`hotline cosim` in several processes: against one, on from a checkpoint, and when one of them dies."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.support.command import environment, run
from tests.support.ranks import start_command
from tests.support.small_runs import write_skewed_log

SMALL = (
    "--preset", "tiny", "--backend", "model", "--hot-rows", 30, "--learn-share", 0.2, "--batch-size", 63,
    "--dtype", "float64", "--select-every", 3, "--relearn-share", 0.5,
)  # fmt: skip


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("log") / "log.npz"
    write_skewed_log(path)
    return f"npz:{path}"


def finish(processes: list[subprocess.Popen[str]], seconds: float = 300) -> list[tuple[int, str, str]]:
    try:
        outputs = [process.communicate(timeout=seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]


TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "hotline")


def cosim(log: str, *more: object) -> list[str]:
    return ["cosim", "--data", log, *map(str, SMALL), *map(str, more)]


def losses_in(path: Path) -> list[float]:
    return json.loads(path.read_text())["history"]["losses"]


def test_torchrun_trains_as_one_process_and_one_goes_on_from_its_checkpoint(log: str, tmp_path: Path) -> None:
    folder, figures = tmp_path / "kept", tmp_path / "figures.json"
    keep = ("--save", folder, "--save-every", 7, "--json", figures)
    two = subprocess.run(
        [*TORCHRUN, *cosim(log, "--steps", 13, "--check", "--baseline", *keep)], env=environment(OMP_NUM_THREADS=1),
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert two.returncode == 0, two.stderr
    done = json.loads(figures.read_text())
    assert done["max_loss_difference"] < 1e-12 and done["max_parameter_difference"] < 1e-12
    assert done["moved_rows"] > 0 and done["held_rows"] > 0
    network = done["network"]
    assert network["ranks"] == 2 and network["steps"] == 13 and "network a step, 2 ranks" in two.stdout
    ours = sum(count for what, count in network["sent"].items() if what != "dense gradients")
    assert network["least"] <= ours < 1.2 * network["least"]

    code, _, errors = run(*cosim(log, "--steps", 26, "--resume", folder, "--baseline", "--json", figures))
    assert code == 0, errors
    losses = json.loads(figures.read_text())
    np.testing.assert_allclose(losses["history"]["losses"], losses["history"]["baseline_losses"], rtol=0, atol=1e-12)


@pytest.mark.slow
@pytest.mark.parametrize("accelerators", ["node", "rank"])
def test_more_ranks_go_on_from_a_checkpoint_of_one(log: str, tmp_path: Path, accelerators: str) -> None:
    folder, straight, resumed = tmp_path / "kept", tmp_path / "straight.json", tmp_path / "resumed.json"
    assert run(*cosim(log, "--steps", 26, "--json", straight))[0] == 0
    assert run(*cosim(log, "--steps", 13, "--save", folder))[0] == 0
    on = cosim(log, "--steps", 26, "--resume", folder, "--json", resumed, "--accelerators", accelerators)
    ended = finish(start_command(4, *on))
    assert not any(code for code, _, _ in ended), ended
    assert [bool(output) for _, output, _ in ended] == [True, False, False, False], "rank 0 alone speaks"
    np.testing.assert_allclose(losses_in(resumed), losses_in(straight), rtol=0, atol=1e-12)


GONE = [
    pytest.param(signal.SIGKILL, id="dies"),
    pytest.param(signal.SIGSTOP, id="hangs", marks=pytest.mark.slow),
]


@pytest.mark.parametrize("how", GONE)
@pytest.mark.parametrize("victim", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_a_rank_that_is_gone_ends_the_others_with_a_line(
    log: str, tmp_path: Path, how: signal.Signals, victim: int
) -> None:
    kept, other = tmp_path / "kept", 1 - victim
    processes = start_command(2, *cosim(log, "--steps", 100_000, "--save", kept, "--save-every", 5, "--patience", 12))
    try:
        deadline = time.monotonic() + 120
        while not list(kept.glob("hotline/step-*")) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert processes[0].poll() is None and processes[1].poll() is None
        processes[victim].send_signal(how)
        _, errors = processes[other].communicate(timeout=60)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert processes[other].returncode == 2, errors
    lines = errors.strip().splitlines()
    assert len(lines) == 1, errors
    gone = "another of the 2 processes is gone, or did not answer within 12 s, while "
    assert lines[0].startswith(f"hotline: rank {other}: {gone}"), errors


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (
            ("--schedule", "split"),
            "the schedule is split, which trains in one process, and there are 2; give --schedule",
        ),
        (("--lazy",), "lazy rows are for one process, and there are several; leave --lazy, or lazy=, out"),
    ],
)
def test_what_is_for_one_process(log: str, more: tuple[str, ...], message: str) -> None:
    for code, output, errors in finish(start_command(2, *cosim(log, *more))):
        assert code == 2 and not output
        assert re.fullmatch(rf"hotline: rank \d: {message}.*\n", errors)
