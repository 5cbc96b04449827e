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


def finish(processes: list[subprocess.Popen[str]], seconds: float = 120) -> list[tuple[int, str, str]]:
    try:
        outputs = [process.communicate(timeout=seconds) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [(process.returncode, *output) for process, output in zip(processes, outputs, strict=True)]


def test_torchrun_trains_as_one_process_and_checkpoints_go_on_with_another_number(log: str, tmp_path: Path) -> None:
    folder, figures = tmp_path / "kept", tmp_path / "figures.json"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "hotline"]
    cosim = ["cosim", "--data", log, *map(str, SMALL)]
    two = subprocess.run(
        [*torchrun, *cosim, "--steps", "13", "--check", "--baseline", "--save", folder, "--save-every", "7", "--json",
         figures],
        env=environment(OMP_NUM_THREADS=1), capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    assert two.returncode == 0, two.stderr
    done = json.loads(figures.read_text())
    assert done["max_loss_difference"] < 1e-12 and done["max_parameter_difference"] < 1e-12
    assert done["moved_rows"] > 0 and done["held_rows"] > 0
    network = done["network"]
    assert network["ranks"] == 2 and network["steps"] == 13 and "network a step, 2 ranks" in two.stdout
    ours = sum(count for what, count in network["sent"].items() if what != "dense gradients")
    assert network["least"] <= ours < 1.2 * network["least"]

    # On with one process, and with three; the reference was never interrupted.
    code, _, errors = run(*cosim, "--steps", 26, "--baseline", "--json", figures)
    assert code == 0, errors
    expected = json.loads(figures.read_text())["history"]["losses"]
    for count in (1, 3):
        again = tmp_path / f"{count}.json"
        on = ("--steps", 26, "--resume", folder, "--json", again)
        ended = [run(*cosim, *on)] if count == 1 else finish(start_command(count, *cosim, *on))
        assert not any(code for code, _, _ in ended), ended
        assert [bool(output) for _, output, _ in ended] == [True, *[False] * (count - 1)], "rank 0 alone speaks"
        losses = json.loads(again.read_text())["history"]["losses"]
        np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGSTOP], ids=["dies", "hangs"])
def test_a_rank_that_is_gone_ends_the_others_with_a_line(log: str, tmp_path: Path, how: signal.Signals) -> None:
    kept = tmp_path / "kept"
    processes = start_command(
        2, "cosim", "--data", log, *SMALL, "--steps", 100_000, "--save", kept, "--save-every", 5, "--patience", 12
    )
    try:
        deadline = time.monotonic() + 120
        while not list(kept.glob("hotline/step-*")) and time.monotonic() < deadline:
            time.sleep(0.1)
        assert processes[0].poll() is None and processes[1].poll() is None
        processes[1].send_signal(how)
        _, errors = processes[0].communicate(timeout=60)
    finally:
        for process in processes:
            process.kill()
            process.communicate()
    assert processes[0].returncode == 2
    lines = errors.strip().splitlines()
    assert len(lines) == 1, errors
    assert re.match(
        r"hotline: rank 0: another of the 2 processes is gone, or did not answer within 12 s, while ", lines[0]
    )


def test_the_published_schedule_is_for_one_process(log: str) -> None:
    for code, output, errors in finish(start_command(2, "cosim", "--data", log, *SMALL, "--schedule", "split")):
        assert code == 2 and not output
        assert re.fullmatch(r"hotline: rank \d: the schedule is split, which trains in one process, .*\n", errors)
