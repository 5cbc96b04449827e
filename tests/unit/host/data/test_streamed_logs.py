"""Logs that are read or drawn while they are used have the samples of those in memory, and take no memory for them."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hotline_host.data import delimited
from hotline_host.data.criteo_stream import CriteoStream
from hotline_host.data.hashed import Cells
from hotline_host.data.log import ClickLog, DataError, Log
from hotline_host.data.minibatches import MiniBatches, to_check
from hotline_host.data.sources import load, open_log, source_file
from tests.support.command import environment

LINES = 900


def line(rng: np.random.Generator) -> str:
    values = [f"{int(number):x}" if number < 300 else "" for number in 330 * rng.random(26) ** 2]
    dense = ["" if number < 0 else str(number) for number in rng.integers(-1, 50, 13)]
    return "\t".join([str(rng.integers(0, 2)), *dense, *values])


@pytest.fixture
def days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three days, one of them compressed, each of many blocks."""
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 4096)
    rng = np.random.default_rng(5)
    for day in (1, 2, 10):
        text = "".join(f"{line(rng)}\n" for _ in range(LINES // 3)).encode()
        (tmp_path / f"day_{day}").write_bytes(gzip.compress(text) if day == 2 else text)
    return tmp_path / "day_*"


def same_rows(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether the rows of two columns are equal but for their numbers."""
    return len(np.unique(np.stack([a, b]), axis=1).T) == len(np.unique(a)) == len(np.unique(b))


def check_equal(log: Log, whole: ClickLog, start: int, stop: int) -> None:
    here, there = log.batch(start, stop), whole.batch(start, stop)
    assert here.size == there.size and np.array_equal(here.lengths, there.lengths)
    assert np.array_equal(here.label, there.label) and np.array_equal(here.dense, there.dense)
    assert here.indices.dtype == np.int64 and here.lengths.flags.c_contiguous
    for a, b in zip(here.indices.reshape(-1, 26).T, there.indices.reshape(-1, 26).T, strict=True):
        assert same_rows(a, b)


def test_the_samples_are_those_of_the_log_in_memory(days: Path) -> None:
    log, whole = open_log(f"criteo:{days}"), load(f"criteo:{days}")
    assert isinstance(log, CriteoStream) and isinstance(whole, ClickLog)
    assert (log.name, log.size, log.lookups, log.dense_features) == (whole.name, LINES, 26 * LINES, 13)
    assert np.array_equal(log.rows, whole.rows)
    check_equal(log, whole, 0, LINES)
    for start in (0, 64, 128, 700, 290, 291, 899, 3, 600, 0):  # on, over files, back
        check_equal(log, whole, start, start + 64)
    one = [each.indices for each in MiniBatches(log, 100, 850, 37)]
    other = [log.batch(at, min(at + 37, 850)).indices for at in range(100, 850, 37)]
    assert all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))
    assert log.batch(LINES, LINES + 5).size == 0


@pytest.mark.parametrize("samples", [1, 299, 301, 5000])
def test_the_front_of_it(days: Path, samples: int) -> None:
    log, whole = open_log(f"criteo:{days}", samples=samples), load(f"criteo:{days}", samples=samples)
    assert log.size == whole.size and np.array_equal(log.rows, whole.rows)
    check_equal(log, whole, 0, 10**6)
    check_equal(log, whole, max(0, log.size - 20), samples)


def test_damaged_lines_are_left_out_both_times(days: Path) -> None:
    bad = days.parent / "day_10"
    text = bad.read_bytes().splitlines(keepends=True)
    bad.write_bytes(b"".join([*text[:7], b"x\n", *text[7:], b"y\n"]))
    with pytest.raises(DataError, match="day_10, line 8: 1 fields"):
        open_log(f"criteo:{days}")
    log, whole = (way(f"criteo:{days}", skip_bad=True) for way in (open_log, load))
    assert log.skipped == whole.skipped == 2
    check_equal(log, whole, 550, 900)


def test_values_share_a_row_by_their_remainder(tmp_path: Path) -> None:
    values = ["7", "2", "0000000C", "", "ffffffff", "1", "A"]
    texts = ["\t".join(["1", *[""] * 13, value, *["5"] * 25]) for value in values]
    path = tmp_path / "train.txt"
    path.write_text("".join(f"{text}\n" for text in texts))
    log = open_log(f"criteo:{path},rows=5")
    # Remainders 2, 2, 2, missing, 0, 1, 0: of 5 cells and one for missing values, 0, 1, 2 and 5 occur.
    assert log.batch(0, 7).indices[::26].tolist() == [2, 2, 2, 3, 0, 1, 0]
    assert log.rows.tolist() == [4] + [1] * 25 and "modulo 5" in log.rule
    whole = load(f"criteo:{path},rows=5")
    assert isinstance(whole, ClickLog) and np.array_equal(whole.indices, log.batch(0, 7).indices)
    for rows, message in (("0", "1 to 4294967296"), ("many", "rows is a whole number")):
        with pytest.raises(DataError, match=message):
            open_log(f"criteo:{path},rows={rows}")
    assert source_file(f"criteo:{path},rows=5") == path and source_file("synthetic:kaggle") is None


def test_rows_are_counted_over_words() -> None:
    rng = np.random.default_rng(2)
    for count in (1, 63, 64, 65, 1000, 1 << 20):
        cells, values = Cells(count), rng.integers(-1, 1 << 32, 500)
        cells.mark(values)
        cells.number()
        own = np.where(values < 0, count, values % count)
        there = np.unique(own)
        assert cells.rows == len(there)
        rows = cells.row_of(values)
        assert rows is not None and np.array_equal(rows, np.searchsorted(there, own))
        free = [cell for cell in range(min(count, 2000)) if cell not in there]
        if free:
            assert cells.row_of(np.array(free[:1])) is None


def test_a_file_that_changes_is_named(days: Path) -> None:
    log = open_log(f"criteo:{days}")
    last = days.parent / "day_10"
    text = last.read_bytes()
    for changed in (text[: len(text) // 2], text.replace(b"\t1", b"\tfefefefe", 200), text[300:] + text[:300]):
        last.write_bytes(changed)
        with pytest.raises(DataError, match="day_10.* has changed since it was read|day_10, line"):
            list(MiniBatches(log, 600, LINES, 50))
        last.write_bytes(text)
    check_equal(log, load(f"criteo:{days}"), 600, LINES)


def test_one_mini_batch_stands_for_all(days: Path) -> None:
    log = open_log(f"criteo:{days}")
    (extreme,) = to_check(MiniBatches(log, 0, LINES, 64))
    assert extreme.size == 64 and np.array_equal(extreme.indices[:26], log.rows - 1)
    (short,) = to_check(MiniBatches(log, 0, 10, 64))
    assert short.size == 10
    batches = MiniBatches(load(f"criteo:{days}"), 0, LINES, 64)
    assert to_check(batches) is batches


@pytest.mark.parametrize("name", ["kaggle", "mlperf-multihot", "taobao"])
def test_a_generated_log_is_drawn_while_it_is_used(name: str) -> None:
    log, whole = (way(f"synthetic:{name},rows=1000", samples=900, seed=3) for way in (open_log, load))
    assert not isinstance(log, ClickLog) and isinstance(whole, ClickLog)
    assert np.array_equal(log.rows, whole.rows) and log.rows.max() == 1000
    assert log.size == 900 and log.lookups == len(whole.indices) and log.dense_features == whole.dense.shape[1]
    assert log.most_lookups(64) == whole.most_lookups(64)
    for start, stop in ((0, 900), (300, 364), (0, 64), (880, 2000)):
        here, there = log.batch(start, stop), whole.batch(start, stop)
        for field in ("indices", "lengths", "dense", "label"):
            assert np.array_equal(getattr(here, field), getattr(there, field)), field
        assert (here.indices < log.rows[here.tables]).all()
    extreme = log.extreme(64)
    assert extreme is not None and extreme.lengths.sum() == len(extreme.indices) == log.most_lookups(64)
    assert np.array_equal(np.unique(extreme.tables), np.arange(len(log.rows)))


def test_the_real_number_of_rows() -> None:
    log = open_log("synthetic:terabyte,rows=FULL", samples=10**12)
    assert log.rows.sum() == 204_184_588 and log.size == 10**12
    assert log.batch(10**12 - 5, 10**12).size == 5
    assert open_log("synthetic:terabyte,rows=999999999", samples=10).rows.sum() == 882_774_559


LIMITED = """
import resource, sys
from pathlib import Path
from hotline_host.data import delimited
from hotline_host.data.minibatches import MiniBatches
from hotline_host.data.sources import load, open_log
delimited.BLOCK_BYTES = 1 << 20
path, way = sys.argv[1], {"load": load, "open_log": open_log}[sys.argv[2]]
log = way(path, samples=3000)
log.batch(0, 100)
peak = lambda: next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM"))
before, samples = peak(), 0
log = way(path)
for batch in MiniBatches(log, 0, log.size, 1000):
    samples += batch.size
print(samples, peak() - before)
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="the peak is told by Linux")
def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    block = "".join(f"{line(rng)}\n" for _ in range(3000))
    path = tmp_path / "train.txt"
    path.write_text(block * 60)
    grown = {}
    for way in ("load", "open_log"):
        # The cells of 26 tables of 40 M rows would take 260 MB, whatever the length of the log.
        spec = f"criteo:{path}" if way == "load" else f"criteo:{path},rows=100000"
        done = subprocess.run(
            [sys.executable, "-c", LIMITED, spec, way], capture_output=True, text=True, check=True, env=environment()
        )
        samples, grown[way] = map(int, done.stdout.split())
        assert samples == 180_000
    assert grown["open_log"] < 30_000 < 60_000 < grown["load"], "kB; the log is 47 MB in memory"
