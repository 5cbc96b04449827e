"""Checkpoints on disk."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from hotline_host.errors import DataError, SettingsError
from hotline_host.training import checkpoint
from hotline_host.training.checkpoint import Rows, load_checkpoint, newest_checkpoint, save_checkpoint

STATE = {
    "model": {"weight": torch.arange(6.0).view(2, 3)},
    "optimizer": {
        "state": {0: {"step": torch.tensor(3), "sum": torch.ones(2)}},
        "param_groups": [{"lr": 0.1, "on": None}],
    },
    "tracker": [np.arange(4, dtype=np.uint64) << np.uint64(60), np.float64(0.1)],
    "losses": [0.1, 1 / 3],
}


def rows(scale: float = 1.0) -> list[Rows]:
    return [
        Rows(first, {"rows": scale * torch.arange(4.0).view(2, 2) + first, "sums": torch.full((2,), first + 0.5)})
        for first in (0, 2)
    ]


def equal(a, b) -> bool:
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(equal, a, b))
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, torch.Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    return a == b


def test_what_is_saved_is_loaded(tmp_path: Path) -> None:
    assert newest_checkpoint(tmp_path / "none") is None
    path = save_checkpoint(tmp_path, 7, STATE, rows())
    loaded = newest_checkpoint(tmp_path)
    assert loaded is not None and loaded.path == path and loaded.step == 7
    assert equal(STATE, loaded.state)
    for was, now in zip(rows(), loaded.rows(), strict=True):
        assert was.first == now.first and equal(was.tensors, now.tensors)


def test_any_state_comes_back_as_it_was(tmp_path: Path) -> None:
    state = {
        "betas": (0.9, (1, None)), "a": {"b": torch.tensor(1)}, "a.b": torch.tensor(2), "a.b'": torch.tensor(3),
        "none": [], "nothing": (), "big": 1 << 127, "far": float("inf"),
    }  # fmt: skip
    save_checkpoint(tmp_path, 1, state, [])
    loaded = newest_checkpoint(tmp_path)
    assert loaded is not None and equal(state, loaded.state)
    assert isinstance(loaded.state["betas"][1], tuple) and isinstance(loaded.state["none"], list)
    for wrong, message in (
        ({"a": [{1, 2}]}, "a.0 is a set; a checkpoint holds numbers, strings"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "a is a torch.strided tensor of torch.complex64, which a"),
        ({"a": torch.zeros(2).to_sparse()}, "a is a torch.sparse_coo tensor of torch.float32, which a"),
    ):
        with pytest.raises(TypeError, match=message):
            save_checkpoint(tmp_path, 2, wrong, rows())
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


def test_old_ones_go_and_one_of_the_same_step_is_replaced(tmp_path: Path) -> None:
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, {}, rows())
    save_checkpoint(tmp_path, 3, {}, rows(2.0))
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["step-00000002", "step-00000003"]
    loaded = newest_checkpoint(tmp_path)
    assert loaded is not None and next(loaded.rows()).tensors["rows"][1, 1] == 6


def test_a_folder_of_a_run_that_is_further_is_refused(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 20, STATE, rows())
    with pytest.raises(SettingsError, match="step-00000020 is of a later step than 5, so of another run"):
        save_checkpoint(tmp_path, 5, STATE, rows())
    assert newest_checkpoint(tmp_path).path == path


def test_killed_between_the_old_one_and_the_new_one(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, STATE, rows())
    path.rename(tmp_path / ".replaced-step-00000001")
    assert newest_checkpoint(tmp_path).path == path
    path.rename(tmp_path / ".replaced-step-00000001")
    save_checkpoint(tmp_path, 1, STATE, rows(2.0))
    assert [each.name for each in tmp_path.iterdir()] == ["step-00000001"]


def test_arrays_and_keys(tmp_path: Path) -> None:
    state = {"none": np.array(3), "rows": np.arange(6, dtype=np.uint64).reshape(2, 3)[:, ::2], "of": {1: 2, None: 3}}
    found = load_checkpoint(save_checkpoint(tmp_path, 1, state, rows())).state
    for name in ("none", "rows"):
        assert isinstance(found[name], np.ndarray) and found[name].dtype == state[name].dtype
        np.testing.assert_array_equal(found[name], state[name], strict=True)
    assert found["of"] == state["of"]
    for wrong, message in (({(0, 1): 2}, "a has the key \\(0, 1\\)"), (np.array(["x"]), "a is an array of <U1")):
        with pytest.raises(TypeError, match=message):
            save_checkpoint(tmp_path, 2, {"a": wrong}, rows())


def test_a_full_disk_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_checkpoint(tmp_path, 1, STATE, rows())
    save = checkpoint._save

    def full(path: Path, tensors: dict) -> int:
        if "rows-00001" in path.name:
            raise OSError(28, "No space left on device", str(path))
        return save(path, tensors)

    monkeypatch.setattr(checkpoint, "_save", full)
    with pytest.raises(OSError, match=r"of step 2 cannot be written \(No space left on device\); older ones are whole"):
        save_checkpoint(tmp_path, 2, STATE, rows())
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001"]


@pytest.mark.parametrize(
    ("name", "size", "message"),
    [
        (
            "rows-00001.safetensors",
            20,
            "rows-00001.safetensors has 20 bytes of [0-9]+: it was cut short; remove step-",
        ),
        ("manifest.json", 20, "step-00000001 is no checkpoint: "),
        ("state.safetensors", None, "is no checkpoint: .*No such file or directory: .*state.safetensors"),
    ],
)
def test_damage_is_named(tmp_path: Path, name: str, size: int | None, message: str) -> None:
    path = save_checkpoint(tmp_path, 1, STATE, rows())
    if size is None:
        (path / name).unlink()
    else:
        os.truncate(path / name, size)
    with pytest.raises(DataError, match=message):
        load_checkpoint(path)


def test_other_bytes_of_the_same_length(tmp_path: Path) -> None:
    path = save_checkpoint(tmp_path, 1, STATE, rows())
    shard = path / "rows-00000.safetensors"
    shard.write_bytes(b"\xff" * shard.stat().st_size)
    with pytest.raises(DataError, match=r"rows-00000.safetensors is damaged: "):
        list(load_checkpoint(path).rows())


def test_of_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save_checkpoint(tmp_path, 1, STATE, rows())
    monkeypatch.setattr(checkpoint, "_FORMAT", 4)
    with pytest.raises(DataError, match="has format 3; this version reads format 4"):
        load_checkpoint(path)


WRITER = """
import sys
from itertools import count
from pathlib import Path
import torch
from hotline_host.training.checkpoint import Rows, save_checkpoint
for step in count(1):
    value = torch.full((50, 4), float(step))
    save_checkpoint(Path(sys.argv[1]), step, {"value": value}, [Rows(50 * i, {"rows": value}) for i in range(4)])
    print(step, flush=True)
"""


@pytest.mark.long
def test_killed_at_any_moment_a_whole_one_is_left(tmp_path: Path) -> None:
    rng = random.Random(1)
    for round_ in range(4):
        folder = tmp_path / str(round_)
        writer = subprocess.Popen([sys.executable, "-c", WRITER, folder], stdout=subprocess.PIPE, text=True)
        assert writer.stdout is not None
        told = int(writer.stdout.readline())
        time.sleep(rng.uniform(0, 0.05))
        writer.send_signal(signal.SIGKILL)
        told = max([told, *map(int, writer.stdout.read().split())])
        writer.wait()
        loaded = newest_checkpoint(folder)
        assert loaded is not None and loaded.step >= told
        for path in folder.glob("step-*"):
            each = load_checkpoint(path)
            assert (each.state["value"] == each.step).all()
            assert [bool((shard.tensors["rows"] == each.step).all()) for shard in each.rows()] == [True] * 4
