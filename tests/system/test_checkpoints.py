"""Runs that are kept and resumed: their losses are those of a run that was never interrupted."""

from __future__ import annotations

import json
import random
import shutil
import threading
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from hotline_host.data.log import ClickLog
from hotline_host.data.sources import load
from hotline_host.errors import DataError
from hotline_host.experiments.cosim import cosim
from hotline_host.experiments.cosim_settings import MODELS
from hotline_host.experiments.record import record_log
from hotline_host.experiments.summary import summary
from hotline_host.training import checkpoint, saver
from hotline_hw.spec.params import PRESETS
from tests.support.killed_runs import example, hotline_command, start
from tests.support.small_runs import small_settings, write_skewed_log

TINY = PRESETS["tiny"]
PIPELINES = ("hotline", "hotline-split", "ordinary", "static")


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("log") / "log.npz"
    write_skewed_log(path)
    return path


@pytest.fixture(scope="module")
def log(path: Path) -> ClickLog:
    return load(f"npz:{path}")


def run(log: ClickLog, steps: int, progress=lambda *_: None, backend: str = "model", **changes):
    chosen = {"steps": steps, "pipelines": PIPELINES, "relearn_share": 0.5, "select_every": 3} | changes
    return cosim(log, TINY, backend, small_settings(**chosen), progress)


@pytest.mark.parametrize("optimizer", ["adagrad", "sgd"])
def test_a_resumed_run_is_the_run(log, tmp_path, optimizer):
    whole = run(log, 14, optimizer=optimizer)
    run(log, 9, optimizer=optimizer, save=tmp_path, save_every=4)
    again = run(log, 14, optimizer=optimizer, resume=tmp_path)
    for name in PIPELINES:
        assert again.pipelines[name].losses == whole.pipelines[name].losses, name
        assert again.pipelines[name].auc == whole.pipelines[name].auc
    # The tracker went on too. Rows that the first mini-batch would have found in the pool come from host memory.
    histories = [replace(each.history, host_rows=[], held_rows=[]) for each in (again, whole)]
    assert histories[0] == histories[1]
    assert [path.name for path in sorted((tmp_path / "static").iterdir())] == ["step-00000008", "step-00000009"]


def test_a_replayed_run_goes_on_in_the_middle_of_its_recording(log, tmp_path):
    settings = small_settings(relearn_share=0.5, select_every=3)
    record_log(log, TINY, "model", settings, tmp_path / "made.npz", mini_batches=14)
    backend = f"replay:{tmp_path / 'made.npz'}"
    whole = run(log, 10, pipelines=("hotline",), backend=backend)  # once through the log
    run(log, 6, pipelines=("hotline",), backend=backend, save=tmp_path)
    again = run(log, 10, pipelines=("hotline",), backend=backend, resume=tmp_path)
    assert again.first.losses == whole.first.losses
    assert again.history.moved == whole.history.moved and any(whole.history.moved[6:])


@pytest.mark.parametrize("changes", [{}, {"lazy": True}, {"check": True}, {"lazy": True, "dtype": "float64"}])
def test_training_goes_on_while_a_checkpoint_is_written(log, tmp_path, monkeypatch, changes):
    """Every shard is written only after a further step, and holds what was there before that."""
    # Poisoned rows are NaN in memory that owns nothing; a lazy table has the rows of one that was drawn as a whole.
    dtype = changes.get("dtype", "float32")
    whole = run(log, 14, dtype=dtype)
    dimension = MODELS["small"].dimension
    monkeypatch.setattr(saver, "_SHARD_BYTES", 40 * dimension * (8 if dtype == "float64" else 4))  # 3 shards
    step, late, save = threading.Semaphore(0), [], checkpoint._save

    def slow(path: Path, tensors: dict) -> int:
        if path.name.startswith("rows-") and path.parent.name.endswith("4"):
            late.append(step.acquire(timeout=10))
        return save(path, tensors)

    def progress(what: str, done: int, total: int) -> None:
        if "steps" in what and done > 4:
            step.release()

    monkeypatch.setattr(checkpoint, "_save", slow)
    run(log, 8, progress, save=tmp_path, save_every=4, **changes)
    assert len(late) == 3 * len(PIPELINES) and all(late)
    for name in PIPELINES:
        shutil.rmtree(tmp_path / name / "step-00000008")
    again = run(log, 14, resume=tmp_path, **changes)
    for name in PIPELINES:
        assert again.pipelines[name].losses == whole.pipelines[name].losses, name


def test_a_full_disk_ends_the_run_and_it_can_go_on(log, tmp_path, monkeypatch):
    save = checkpoint._save

    def full(path: Path, tensors: dict) -> int:
        if path.parent.name.endswith("8"):
            raise OSError(28, "No space left on device", str(path))
        return save(path, tensors)

    last = []

    def progress(what: str, done: int, total: int) -> None:
        if "steps" in what:
            last.append(done)
            while done == 9 and any(thread.name.startswith("save") for thread in threading.enumerate()):
                time.sleep(0.01)

    monkeypatch.setattr(checkpoint, "_save", full)
    with pytest.raises(OSError, match="the checkpoint of step 8 cannot be written .*; older ones are whole"):
        run(log, 14, progress, pipelines=("hotline",), save=tmp_path, save_every=4)
    assert last[-1] <= 9, "the run ends at once, not when the next checkpoint is due"
    monkeypatch.undo()
    assert [path.name for path in (tmp_path / "hotline").iterdir()] == ["step-00000004"]
    again = run(log, 14, pipelines=("hotline",), resume=tmp_path)
    assert again.first.losses == run(log, 14, pipelines=("hotline",)).first.losses


def test_a_run_that_goes_on_from_its_end(log, tmp_path):
    whole = run(log, 6, save=tmp_path)
    again = run(log, 6, resume=tmp_path)
    assert again.first.losses == whole.first.losses and again.first.auc == whole.first.auc
    assert summary(again).row_count == summary(whole).row_count, "it can be shown"


def test_another_run_is_refused(log, tmp_path):
    run(log, 4, pipelines=("ordinary",), save=tmp_path)
    for change, message in (
        ({"rate": 0.1}, "step-00000004 is of another run: its rate is 0.005, and here it is 0.1"),
        ({"hot_rows": 7}, "its hot_rows is 30, and here it is 7"),
        ({"steps": 3}, "step-00000004 has seen 4 steps, and this run has 3"),
        ({"resume": tmp_path / "none"}, "none is no folder; --resume takes one that --save wrote"),
    ):
        with pytest.raises(DataError, match=message):
            run(log, **({"steps": 9, "pipelines": ("ordinary",), "resume": tmp_path} | change))
    short = log.batch(0, 900)
    short = replace(log, indices=short.indices, lengths=short.lengths, dense=short.dense, label=short.label)
    with pytest.raises(DataError, match="its samples is 1000, and here it is 900"):
        run(short, 9, pipelines=("ordinary",), resume=tmp_path)


def command(path: Path, folder: Path, steps: int, *more: str) -> tuple:
    return (
        hotline_command, "cosim", "--data", f"npz:{path}", "--preset", "tiny", "--backend", "model",
        "--hot-rows", "30", "--steps", str(steps), "--batch-size", "32", "--learn-share", "0.2", "--schedule", "split",
        "--json", str(folder / "cosim.json"), *more,
    )  # fmt: skip


def done(folder: Path, run: tuple) -> None:
    """A run that nobody kills."""
    folder.mkdir(exist_ok=True)
    process = start(folder / "said", *run)
    process.join()
    assert process.exitcode == 0, (folder / "said").read_text()


def kill_and_go_on(folder: Path, run: tuple, checkpoints: str, kills: int) -> None:
    """Kills a run a few times, at any moment after a further checkpoint, and lets it end."""

    def newest() -> str:
        return max((path.name for path in folder.glob(checkpoints)), default="")

    folder.mkdir()
    rng = random.Random(7)
    for _ in range(kills):
        begun = newest()
        process = start(folder / "said", *run)
        end = time.monotonic() + 60
        while newest() == begun and process.is_alive() and time.monotonic() < end:
            time.sleep(0.01)
        time.sleep(rng.uniform(0, 0.2))
        process.kill()
        process.join()
    done(folder, run)


KILLS = pytest.mark.parametrize("kills", [1, pytest.param(20, marks=pytest.mark.slow)])


def losses_in(folder: Path) -> list[float]:
    return json.loads((folder / "cosim.json").read_text())["pipelines"]["hotline"]["losses"]


@pytest.mark.parametrize("more", [(), ("--lazy", "--tables", "TABLES")], ids=["drawn", "lazy"])
@KILLS
def test_killed_at_any_moment(path, tmp_path, kills, more):
    """kill -9, resume, and again: the losses are those of a run that nobody killed."""
    more = [str(tmp_path / "tables") if each == "TABLES" else each for each in more]
    whole, kept, steps = tmp_path / "whole", tmp_path / "kept", 20 * (kills + 4)
    done(whole, command(path, whole, steps))
    run = command(path, kept, steps, "--save", str(kept), "--save-every", "20", "--resume", str(kept), *more)
    kill_and_go_on(kept, run, "hotline/step-*", kills)
    assert losses_in(kept) == losses_in(whole)


@KILLS
def test_a_loop_over_prefetch_killed_at_any_moment(tmp_path, kills):
    """The same for the loop of a model of one's own, with dropout."""
    steps = 25 * (kills + 2)
    for name in ("whole", "kept"):
        run = (example, "resume", steps, tmp_path / name / "kept")
        if name == "whole":
            done(tmp_path / name, run)
        else:
            kill_and_go_on(tmp_path / name, run, "kept/step-*", kills)
    whole, kept = (checkpoint.newest_checkpoint(tmp_path / name / "kept") for name in ("whole", "kept"))
    assert whole.step == kept.step == steps
    for name, value in whole.state["objects"]["model"].items():
        assert isinstance(value, dict) or torch.equal(kept.state["objects"]["model"][name], value), name
    for ours, theirs in zip(whole.rows(), kept.rows(), strict=True):
        assert all(torch.equal(theirs.tensors[name], value) for name, value in ours.tensors.items())
