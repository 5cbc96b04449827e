"""Logs and tables larger than memory, and how a run ends that cannot go on: one line that says what to do."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from hotline_host.data.log import Batch, ClickLog
from hotline_host.data.sources import load
from hotline_host.errors import DataError
from hotline_host.experiments.cosim import cosim
from hotline_hw.spec.params import PRESETS
from tests.support.command import environment
from tests.support.small_runs import small_settings, write_skewed_log

LIMITED = """
import resource, sys
import torch
from pathlib import Path
import hotline_host.experiments.cosim
from hotline_host.commands.entry import main
used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
limit, size = int(sys.argv[1]), int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_DATA, (used + limit,) * 2)
resource.setrlimit(resource.RLIMIT_FSIZE, (size,) * 2)
sys.argv[1:3] = []
main()
"""
BASE = (
    "cosim",
    "--preset",
    "tiny",
    "--backend",
    "model",
    "--hot-rows",
    "30",
    "--batch-size",
    "64",
    "--select-every",
    "4",
)


def limited(*arguments: str | Path, megabytes: int = 1 << 20, file_bytes: int = 1 << 60) -> subprocess.CompletedProcess:
    """Runs a command that may take so much more memory than what its imports took, and write files so large."""
    run = [sys.executable, "-c", LIMITED, str(megabytes << 20), str(file_bytes), *map(str, arguments)]
    return subprocess.run(run, capture_output=True, text=True, env=environment(OMP_NUM_THREADS=2))


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_log_larger_than_memory_trains(tmp_path: Path) -> None:
    """100 M samples of 26 lookups would take 27 GB."""
    data = ("--data", "synthetic:kaggle,rows=2000", "--samples", "100000000", "--learn-share", "0.00001")
    done = limited(
        *BASE, *data, "--test-share", "0.000001", "--steps", "20", "--json", tmp_path / "f.json", megabytes=800
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["log_samples"] == 10**8 and figures["steps"] == 20
    assert figures["test_samples"] == 100 and figures["learned_samples"] == 1000


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.parametrize("more", [("--lazy",), pytest.param((), marks=pytest.mark.slow)], ids=["lazy", "drawn"])
@pytest.mark.parametrize("pipeline", ["hotline", "ordinary"])
def test_tables_larger_than_memory_train_from_a_file(tmp_path: Path, pipeline: str, more: tuple[str, ...]) -> None:
    data = ("--data", "synthetic:kaggle,rows=FULL", "--learn-share", "0.1", "--pipelines", pipeline, "--steps", "10")
    # 33.8 M rows of 16 take 2.2 GB.
    options = (*data, "--tables", tmp_path / "tables", "--json", tmp_path / "f.json", *more)
    done = limited(*BASE, *options, megabytes=1000)
    assert done.returncode == 0, done.stderr
    figures = json.loads((tmp_path / "f.json").read_text())
    assert figures["rows"] == 33_762_577 and len(figures["history"]["losses"]) == 10
    assert [path.name for path in (tmp_path / "tables").iterdir() if path.is_dir()] == [], "nothing is left"


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
def test_a_checkpoint_that_cannot_be_written(tmp_path: Path) -> None:
    """The limit of a file's size stands for a full disk. It limits shared memory too, so none is used."""
    write_skewed_log(tmp_path / "log.npz")
    save = tmp_path / "kept"
    run = (*BASE, "--data", f"npz:{tmp_path / 'log.npz'}", "--steps", "9", "--save", save, "--save-every", "4",
        "--pipelines", "ordinary")  # fmt: skip
    done = limited(*run, file_bytes=3000)
    assert done.returncode == 2
    line = done.stderr.strip().splitlines()[-1]
    assert line == (
        f"hotline: {save / 'ordinary'}: the checkpoint of step 4 cannot be written (File too large); "
        "older ones are whole"
    )
    assert list((save / "ordinary").iterdir()) == []
    assert limited(*run).returncode == 0
    # What is there may be damaged, or of another run.
    shard = save / "ordinary" / "step-00000009" / "rows-00000.safetensors"
    again = (*run, "--resume", save)
    for change, message in (
        (("--rate", "0.5"), "step-00000009 is of another run: its rate is 0.005, and here it is 0.5"),
        (("--model", "kaggle"), "step-00000009 is of another run: its model is small, and here it is kaggle"),
        (("--set", "working_rows=64"), "is of another run: its working_rows is 32, and here it is 64"),
    ):
        done = limited(*again, *change)
        assert done.returncode == 2 and message in done.stderr, done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
    os.truncate(shard, 100)
    done = limited(*again)
    assert done.returncode == 2 and "it was cut short; remove step-00000009 to resume from an older" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


@dataclass(frozen=True)
class Breaking(ClickLog):
    """A log that cannot be read any more after some mini-batches of the training part."""

    served: list[int] = field(default_factory=list)

    def batch(self, start: int, stop: int) -> Batch:
        self.served.append(start)
        if self.served.count(start) > 3:  # looked at, and trained on in two passes
            raise DataError("day_3: damaged gzip (Compressed file ended); fetch the file again")
        return super().batch(start, stop)


@pytest.mark.parametrize("pipeline", ["hotline", "hotline-split", "ordinary", "static"])
def test_a_log_that_fails_in_the_middle(tmp_path: Path, pipeline: str) -> None:
    write_skewed_log(tmp_path / "log.npz")
    log = load(f"npz:{tmp_path / 'log.npz'}")
    fields = {name: getattr(log, name) for name in ClickLog.__dataclass_fields__ if name != "_offsets"}
    before = set(threading.enumerate())
    chosen = {"pipelines": (pipeline,), "steps": 60, "save": tmp_path / "kept", "save_every": 5}
    with pytest.raises(DataError, match="day_3: damaged gzip"):
        cosim(Breaking(**fields), PRESETS["tiny"], "model", small_settings(**chosen))
    assert not {each for each in threading.enumerate() if each.is_alive()} - before, "no thread is left"
    kept = [path.name for path in (tmp_path / "kept" / pipeline).iterdir()]
    assert kept and not [name for name in kept if "partial" in name]
    again = cosim(log, PRESETS["tiny"], "model", small_settings(**chosen | {"resume": tmp_path / "kept"}))
    whole = cosim(log, PRESETS["tiny"], "model", small_settings(**chosen | {"save": None, "save_every": 0}))
    assert again.first.losses == whole.first.losses
