"""Recordings: a replay answers as the accelerator did, and refuses everything else."""

from __future__ import annotations

import json
from dataclasses import replace
from operator import itemgetter
from pathlib import Path
from zipfile import ZipFile

import numpy as np
import pytest

from hotline_device.registry import open_device
from hotline_host.data.log import Batch, ClickLog
from hotline_host.data.minibatches import MiniBatches
from hotline_host.driver.driver import Driver
from hotline_host.driver.follow import FollowOptions, learn
from hotline_host.errors import DataError, DriverError, SettingsError
from hotline_host.plan import Followed
from hotline_host.splitters.accelerated import AcceleratorSplitter
from hotline_host.splitters.recording import Recording, read_recording, record
from hotline_host.splitters.replayed import ReplayedSplitter
from tests.support.driving import TINY, batch_of
from tests.support.tools import backends

ROWS = np.array([40, 25, 3])
SIZE, LEARNED, STOP, HOT = 16, 96, 400, 12
RARE = slice(208, 224)  # a mini-batch with more cold rows than can be listed
OPTIONS = FollowOptions(relearn_share=0.5, select_every=3)


def make_log() -> ClickLog:
    """Multi-hot, with popular rows that drift, and samples RARE that look up all kinds of rows."""
    rng = np.random.default_rng(7)
    lengths = rng.integers(0, 3, (STOP, len(ROWS)))
    lengths[RARE] = 2
    tables = np.repeat(np.tile(np.arange(len(ROWS)), STOP), lengths.ravel())
    samples = np.repeat(np.arange(STOP), lengths.sum(1))
    skew = np.where(np.isin(samples, np.arange(STOP)[RARE]), 1, 3)
    indices = ((rng.random(len(tables)) ** skew * ROWS[tables]).astype(int) + samples // 80) % ROWS[tables]
    names = tuple(f"t{number}" for number in range(len(ROWS)))
    dense, label = np.zeros((STOP, 1), np.float32), np.zeros(STOP, np.float32)
    return ClickLog("made", names, ROWS, indices, lengths, dense, label)


LOG = make_log()
REST = MiniBatches(LOG, LEARNED, STOP, SIZE)


def ready(device) -> Driver:
    driver = Driver(device)
    driver.set_hot_rows(HOT)
    learn(driver, MiniBatches(LOG, 0, LEARNED, SIZE), OPTIONS, lambda *_: None)
    return driver


def record_with(backend: str, path: Path) -> Recording:
    with open_device(backend, TINY) as device:
        return record(
            path, ready(device), REST, OPTIONS, preset="tiny", backend=backend, memory="none", seed=3, row_bytes=64,
            clock_mhz=250,
        )  # fmt: skip


@pytest.fixture(scope="module")
def path(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "model.npz"
    record_with("model", path)
    return path


def assert_same(one: Followed, other: Followed) -> None:
    assert one.batch is other.batch and one.cycles == other.cycles
    np.testing.assert_array_equal(one.split.popular, other.split.popular)
    np.testing.assert_array_equal(one.split.slots, other.split.slots)
    assert (one.moves is None) == (other.moves is None)
    assert (one.split.working is None) == (other.split.working is None)
    for mine, its in ((one.moves, other.moves), (one.split.working, other.split.working)):
        if mine is not None:
            for name, value in vars(its).items():
                np.testing.assert_array_equal(getattr(mine, name), value, name)


def test_a_replay_equals_the_accelerator(path):
    replayed = ReplayedSplitter(path)
    held = moved = unlisted = 0
    with open_device("model", TINY) as device:
        live = AcceleratorSplitter(ready(device), OPTIONS)
        assert (replayed.hot_rows, replayed.most_moves) == (live.hot_rows, live.most_moves)
        by_slot = [sorted(zip(*each.placed(), strict=True), key=itemgetter(2)) for each in (replayed, live)]
        assert by_slot[0] == by_slot[1]
        for batch in REST:
            followed = live.split(batch)
            assert_same(replayed.split(batch), followed)
            held += followed.split.working.held if followed.split.working else 0
            unlisted += followed.split.working is None
            moved += len(followed.moves or ())
    assert held and moved and unlisted == 1  # or it shows nothing
    assert len(replayed) == len(REST)


def test_it_starts_over(path):
    replayed = ReplayedSplitter(path)
    first = [replayed.split(batch) for batch in REST]
    with pytest.raises(DataError, match=f"model.npz: holds {len(REST)} mini-batches, and mini-batch {len(REST)} is"):
        replayed.split(REST[0])
    replayed.restart()
    for batch, followed in zip([it.batch for it in first], first, strict=True):
        assert_same(replayed.split(batch), followed)


@pytest.mark.long
@pytest.mark.parametrize("backend", backends("verilated"))
def test_the_rtl_answers_as_the_model_does_and_takes_cycles(path, backend, tmp_path):
    recorded, model = record_with(backend, tmp_path / "rtl.npz"), read_recording(path)
    assert replace(recorded.header, backend="model") == model.header
    for name, value in vars(model).items():
        if name not in ("header", "cycles"):
            np.testing.assert_array_equal(getattr(recorded, name), value, name)
    assert not model.cycles.any()
    replayed = ReplayedSplitter(tmp_path / "rtl.npz")
    for batch, cycles in zip(REST, recorded.cycles.tolist(), strict=True):
        followed = replayed.split(batch)
        assert followed.cycles == cycles[0] == replayed.cycles().core > 0
        assert (replayed.cycles().select > 0) == (followed.moves is not None)
        assert replayed.cycles().classify >= followed.cycles
        working = followed.split.working
        rows = (len(working) - working.held, working.held) if working else (0, 0)
        assert replayed.gather_cycles() == tuple(cycles[3:])
        assert [taken > 0 for taken in replayed.gather_cycles()] == [count > 0 for count in rows]


def changed(batch: Batch, **arrays: np.ndarray) -> Batch:
    return replace(batch, **arrays)


def test_other_mini_batches_are_refused_and_change_nothing(path):
    replayed = ReplayedSplitter(path)
    first = REST[0]
    replayed.split(first)
    batch = REST[1]
    indices = batch.indices.copy()
    indices[-1] = (indices[-1] + 1) % 3
    lengths = batch.lengths.copy()
    full = int(np.flatnonzero(lengths[:-1, 2])[0])
    lengths[full, 2] -= 1
    lengths[full + 1, 0] += 1
    other_tables = batch_of(np.ones((2, 2)), np.zeros(4))
    for other in (first, changed(batch, indices=indices), changed(batch, lengths=lengths), other_tables):
        with pytest.raises(DataError, match="mini-batch 1 was recorded with other lookups; replay samples 96 to 400"):
            replayed.split(other)
    assert replayed.split(batch).batch is batch


def damaged(path: Path, target: Path, **changes: object) -> Path:
    with np.load(path) as file:
        arrays = dict(file)
    np.savez_compressed(target, **(arrays | changes))
    return target


def test_files_that_are_no_recording(path, tmp_path):
    target = tmp_path / "bad.npz"
    whole = path.read_bytes()
    fields = json.loads(str(np.load(path)["header"]))
    target.write_bytes(b"")
    cases = [target]
    for name, content in {"cut": whole[: len(whole) // 2], "text": b"table,row\n1,2\n", "array": None}.items():
        cases.append(tmp_path / f"{name}.npz")
        if content is not None:
            cases[-1].write_bytes(content)
        else:
            with cases[-1].open("wb") as file:
                np.save(file, np.zeros(3))
    flipped = bytearray(whole)
    order = ZipFile(path).getinfo("order.npy")
    flipped[order.header_offset + len(order.FileHeader()) + order.compress_size // 2] ^= 0x55
    cases.append(tmp_path / "flipped.npz")
    cases[-1].write_bytes(flipped)
    np.savez(tmp_path / "foreign.npz", popular=np.ones(3))
    cases.append(tmp_path / "foreign.npz")
    cases.append(damaged(path, tmp_path / "short.npz", cold=np.zeros(3, int)))
    cases.append(damaged(path, tmp_path / "kind.npz", order=np.zeros(3)))
    cases.append(damaged(path, tmp_path / "field.npz", header=np.array(json.dumps(fields | {"new": 1}))))
    for case in cases:
        with pytest.raises(DataError, match=f"{case.name}: no whole recording of an accelerator .*make one with") as it:
            ReplayedSplitter(case)
        assert "\n" not in str(it.value)
    later = damaged(path, tmp_path / "later.npz", header=np.array(json.dumps(fields | {"format": 2})))
    with pytest.raises(DataError, match="later.npz: a recording of format 2, not 1; record it again"):
        ReplayedSplitter(later)
    with pytest.raises(FileNotFoundError):
        ReplayedSplitter(tmp_path / "none.npz")
    with pytest.raises(SettingsError, match="clock is 0 MHz"):
        ReplayedSplitter(path, 0)


def test_a_wrong_order_is_noticed(path, tmp_path):
    order = read_recording(path).order
    order[0] = order[1]
    replayed = ReplayedSplitter(damaged(path, tmp_path / "order.npz", order=order))
    with pytest.raises(DataError, match="order.npz: the cold rows of mini-batch 0 are damaged"):
        replayed.split(REST[0])


def test_nothing_stays_of_a_recording_that_fails(tmp_path, monkeypatch):
    def wrong(self, batch):
        followed = split(self, batch)
        slots = followed.split.slots.copy()
        slots[0] = -2
        return replace(followed, split=replace(followed.split, slots=slots))

    split = AcceleratorSplitter.split.__globals__["Follower"].split
    monkeypatch.setattr("hotline_host.driver.follow.Follower.split", wrong)
    with pytest.raises(DriverError, match="answer to mini-batch 0 does not follow from its hot rows"):
        record_with("model", tmp_path / "failed.npz")
    assert not list(tmp_path.iterdir())
