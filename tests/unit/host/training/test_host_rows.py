"""Rows in host memory: drawn when they are first needed, and read as they were while they change."""

from __future__ import annotations

import errno
import itertools
import threading
from pathlib import Path

import numpy as np
import pytest
import torch

from hotline_device import memory_folder
from hotline_device.host_memory import HostMemory
from hotline_device.memory_folder import HoledFile
from hotline_host.training.checkpoint import Rows
from hotline_host.training.host_rows import HostRows
from hotline_host.training.host_table import host_table

COUNTS = np.array([5, 0, 1, 9_001, 3])
R = int(COUNTS.sum())


def rows(width: int = 3, dtype: torch.dtype = torch.float32, **options) -> HostRows:
    return HostRows(COUNTS, width, state=(2,), dtype=dtype, seed=7, **options)


def whole(width: int = 3, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return host_table(COUNTS, width, seed=7, dtype=dtype)


@pytest.mark.parametrize("where", ["memory", "file", "region"])
@pytest.mark.parametrize("width", [1, 3, 16, 1200])
def test_a_row_has_its_value_once_it_was_touched(tmp_path: Path, where: str, width: int) -> None:
    memory = HostMemory() if where == "region" else None
    lazy = rows(width, lazy=True, memory=memory, folder=tmp_path if where == "file" else None)
    expected = whole(width)
    rng = np.random.default_rng(1)
    for keys in (rng.integers(0, R, 40, dtype=np.int32), np.array([R - 1, 0, 0]), np.empty(0, np.int64)):
        lazy.touch(keys)
        at = torch.from_numpy(keys.astype(np.int64))
        assert torch.equal(lazy.rows[at], expected[at])
    if width == 1200:  # a row is more than a page: only what was touched is there
        assert 0 < int((lazy.rows != 0).any(dim=1).sum()) <= 42
    lazy.rows[0] = 3.5
    lazy.touch_all()
    assert torch.equal(lazy.rows[1:], expected[1:]) and (lazy.rows[0] == 3.5).all(), "drawn once"
    assert not lazy.state.any() and lazy.state.shape == (R, 2)
    if memory:
        memory.close()


def test_in_double_precision_too() -> None:
    lazy = rows(dtype=torch.float64, lazy=True)
    lazy.touch(np.arange(R))
    assert torch.equal(lazy.rows, whole(dtype=torch.float64))


def test_several_threads_may_touch() -> None:
    lazy = rows(lazy=True)
    threads = [threading.Thread(target=lazy.touch, args=(np.arange(at, R, 7),)) for at in range(7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert torch.equal(lazy.rows, whole())


@pytest.mark.long
def test_a_file_takes_space_for_what_was_touched(tmp_path: Path) -> None:
    large = np.array([1 << 24])
    file = HoledFile(tmp_path / "file", 1 << 34, "a file")
    file.reserve(np.array([0, 4096, 1 << 33]), 100)
    assert (tmp_path / "file").stat().st_blocks * 512 < 1 << 20
    there = HostRows(large, 16, state=(), dtype=torch.float32, seed=7, folder=tmp_path, lazy=True)
    there.touch(np.array([5, (1 << 24) - 1]))
    assert torch.equal(there.rows[5], host_table(large, 16, seed=7, dtype=torch.float32)[5])


def test_a_full_disk_is_an_error_and_no_lost_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lazy = rows(lazy=True, folder=tmp_path)
    room = iter([True, True, False])
    fallocate = memory_folder.os.posix_fallocate

    def full(*where: int) -> None:
        if not next(room, True):
            raise OSError(errno.ENOSPC, "No space left on device")
        fallocate(*where)

    monkeypatch.setattr(memory_folder.os, "posix_fallocate", full)
    lazy.touch(np.array([0]))
    with pytest.raises(OSError, match="another part of a file of embedding rows needs .* are free"):
        lazy.touch(np.array([5000]))
    lazy.touch(np.array([5000]))
    assert torch.equal(lazy.rows[5000], whole()[5000])


def read(shards) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """All rows and states of shards; rows that are in none are NaN. And the sizes of the shards."""
    values, state = torch.full((R, 3), torch.nan), torch.full((R, 2), torch.nan)
    sizes = []
    for shard in shards:
        keys = shard.tensors.get("keys", torch.arange(shard.first, shard.first + len(shard.tensors["rows"])))
        values[keys], state[keys] = shard.tensors["rows"], shard.tensors["state"]
        sizes.append(len(keys))
    return values, state, sizes


def write(host: HostRows, keys: np.ndarray, value: float) -> None:
    host.changing(keys)
    host.rows[torch.from_numpy(keys)] = value
    host.state[torch.from_numpy(keys)] = value


@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("size", [100, 4000, 10_000])
def test_shards_are_of_the_moment_they_were_asked_for(lazy: bool, size: int) -> None:
    """Rows are written before, between and after the shards, several times, and the shards do not show it."""
    rng = np.random.default_rng(3)
    host = rows(lazy=lazy)
    touched = np.unique(rng.integers(0, 4500, 30)) if lazy else np.arange(R)
    host.touch(touched)
    write(host, touched[::2], 9.0)
    hot = np.unique(rng.choice(touched, 20))
    hot_rows, hot_state = torch.full((len(hot), 3), -1.0), torch.full((len(hot), 2), -2.0)
    before, before_state = host.rows.clone(), host.state.clone()
    before[hot], before_state[hot] = -1.0, -2.0
    shards, got = host.shards(size, hot, hot_rows, hot_state), []
    for number in itertools.count():
        keys = rng.permutation(R)[:200]
        host.touch(keys)
        write(host, keys, float(number))
        shard = next(shards, None)
        if shard is None:
            break
        got.append(shard)
    values, state, sizes = read(got)
    there = ~values[:, 0].isnan()
    assert there[touched].all() and (there.all() or lazy) and there.sum() <= (2500 * 3 if lazy else R)
    assert torch.equal(values[there], before[there]) and torch.equal(state[there], before_state[there])
    assert max(sizes) <= size
    assert not torch.equal(host.rows, before)


def test_they_end_with_their_iterator() -> None:
    host = rows()
    shards = host.shards(1000)
    with pytest.raises(RuntimeError, match="the rows are being saved"):
        host.shards(1000)
    shards.close()
    next(host.shards(1000))  # is dropped
    assert read(host.shards(1000))[2] == [1000] * 9 + [10]


def test_shards_written_by_a_thread_while_another_trains() -> None:
    host, stop = rows(), threading.Event()
    rng = np.random.default_rng(4)

    def train() -> None:
        while not stop.is_set():
            write(host, rng.permutation(R)[:500], rng.random())

    for _ in range(5):
        before, shards = host.rows.clone(), host.shards(300)
        stop.clear()
        training = threading.Thread(target=train)
        training.start()
        values, _, _ = read(shards)
        stop.set()
        training.join()
        assert torch.equal(values, before)


def test_shards_of_a_lazy_table_are_loaded_into_any() -> None:
    lazy, other, eager = rows(lazy=True), rows(lazy=True), rows()
    lazy.touch(np.array([3, 4000]))
    write(lazy, np.array([4000]), 5.0)
    shards = list(lazy.shards(1000))
    assert sum(len(shard.tensors["rows"]) for shard in shards) < 1000
    for into in (other, eager):
        for shard in shards:
            into.load(shard)
        into.touch_all()
        assert (into.rows[4000] == 5).all() and (into.state[4000] == 5).all() and not into.state[3].any()
        expected = whole()
        expected[4000] = 5
        assert torch.equal(into.rows, expected)
    lazy.load(Rows(0, {"rows": torch.ones(R, 3), "state": torch.ones(R, 2)}))
    lazy.touch_all()
    assert (lazy.rows == 1).all()
