"""Generated logs: shape, repeatability, the stream beside the log, and whether labels can be learned."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hotline_host.data.log import Batch, ClickLog, DataError
from hotline_host.data.sources import SOURCES, load
from hotline_host.data.synthetic.generator import CHUNK, Stream
from hotline_host.data.synthetic.shapes import SHAPES

NAMES = ["kaggle", "terabyte", "mlperf-multihot", "taobao"]


@pytest.fixture(scope="module")
def log() -> ClickLog:
    return load("synthetic:kaggle")


def numbered(batches: list[Batch], tables: np.ndarray) -> np.ndarray:
    """Indices [S, L] of raw rows, numbered in order of first appearance, computed the plain way."""
    raw = np.concatenate([batch.indices.reshape(batch.size, -1) for batch in batches])
    numbers: list[dict[int, int]] = [{} for _ in range(tables.max() + 1)]
    return np.array(
        [[numbers[t].setdefault(r, len(numbers[t])) for t, r in zip(tables, row, strict=True)] for row in raw.tolist()]
    )


def test_shape(log: ClickLog) -> None:
    assert (log.size, len(log.tables), log.dense.shape) == (80_000, 26, (80_000, 13))
    assert (log.indices.dtype, log.dense.dtype, log.label.dtype) == (np.int64, np.float32, np.float32)
    assert np.isfinite(log.dense).all()
    assert (log.dense >= 0).all()
    assert set(np.unique(log.label)) == {0, 1}
    # Every row occurs, and rows are numbered in order of first appearance.
    for table, rows in zip(log.indices.reshape(log.size, -1).T, log.rows, strict=True):
        values, first = np.unique(table, return_index=True)
        assert values.tolist() == list(range(rows))
        assert (np.diff(first) > 0).all()


@pytest.mark.parametrize(
    ("name", "tables", "lookups", "dense", "dimension"),
    [
        ("kaggle", 26, 26, 13, 16),
        ("terabyte", 26, 26, 13, 64),
        ("mlperf-multihot", 26, 214, 13, 128),
        ("taobao", 4, 4, 0, 16),
    ],
)
def test_every_log_there_is(name: str, tables: int, lookups: int, dense: int, dimension: int) -> None:
    assert f"synthetic:{name}" in SOURCES
    log = load(f"synthetic:{name}", samples=5000)
    assert log.name == f"synthetic:{name}"
    assert log.dimension == dimension
    assert len(log.tables) == tables
    assert log.dense.shape == (5000, dense)
    assert len(log.indices) == 5000 * lookups
    batch = log.batch(7, 9)
    np.testing.assert_array_equal(batch.lengths, np.tile(SHAPES[name].pooling, (2, 1)))
    assert len(batch.indices) == 2 * lookups
    assert 0.2 < log.label.mean() < 0.3


def test_bags_of_mlperf() -> None:
    stream = Stream("mlperf-multihot")
    assert stream.pooling.sum() == 214
    assert (stream.pooling.max(), stream.pooling.argmax()) == (100, 20)
    batch = next(stream.batches(3000))
    assert batch.lengths.shape == (3000, 26)
    # The places of a bag have different rows: no two columns are the same.
    bag = batch.indices.reshape(3000, -1)[:, stream.lookup_tables == 20]
    assert bag.shape == (3000, 100)
    agree = [(bag[:, i] == bag[:, j]).mean() for i, j in itertools.combinations(range(0, 100, 9), 2)]
    assert max(agree) < 0.5


@pytest.mark.parametrize("spec", [*NAMES, "kaggle,shift=700", "kaggle,independent=1", "taobao,independent=1"])
def test_a_stream_is_the_log_with_raw_rows(spec: str) -> None:
    stream = Stream(spec, seed=3)
    log = load(f"synthetic:{spec}", samples=2000, seed=3)
    batches = list(stream.batches(2000, size=600))
    assert [batch.size for batch in batches] == [600, 600, 600, 200]
    for batch in batches:
        assert (batch.indices >= 0).all()
        assert (batch.indices < stream.rows[batch.tables]).all()
    expected = numbered(batches, stream.lookup_tables)
    np.testing.assert_array_equal(log.indices.reshape(2000, -1), expected)
    np.testing.assert_array_equal(log.dense, np.concatenate([batch.dense for batch in batches]))
    np.testing.assert_array_equal(log.label, np.concatenate([batch.label for batch in batches]))
    np.testing.assert_array_equal(
        log.rows, [expected[:, stream.lookup_tables == t].max() + 1 for t in range(len(log.rows))]
    )


@pytest.mark.parametrize("name", NAMES)
def test_any_stretch_may_be_drawn(name: str) -> None:
    stream = Stream(name)
    long = stream.draw(0, 3000)
    part = stream.draw(1234, 1300)
    lookups = stream.pooling.sum()
    np.testing.assert_array_equal(part.indices, long.indices[1234 * lookups : 1300 * lookups])
    np.testing.assert_array_equal(part.dense, long.dense[1234:1300])
    np.testing.assert_array_equal(part.label, long.label[1234:1300])
    far = stream.draw(10**12, 10**12 + 5)  # nothing before it is drawn
    assert (far.indices < stream.rows[far.tables]).all()
    endless = stream.batches(start=1234, size=66)
    np.testing.assert_array_equal(next(endless).indices, part.indices)
    assert next(endless).size == 66


def test_a_seed_gives_one_log_and_a_shorter_one_is_its_beginning(log: ClickLog) -> None:
    for samples in (1, 1000, CHUNK + 1):
        short = load("synthetic:kaggle", samples=samples)
        np.testing.assert_array_equal(short.indices, log.indices[: samples * 26])
        np.testing.assert_array_equal(short.dense, log.dense[:samples])
        np.testing.assert_array_equal(short.label, log.label[:samples])
    for name in NAMES:
        one, other = Stream(name, seed=0).draw(0, 500), Stream(name, seed=1).draw(0, 500)
        assert (one.indices != other.indices).mean() > 0.3
        assert (one.label != other.label).any()


def test_progress() -> None:
    calls: list[tuple[str, int, int]] = []
    load("synthetic:kaggle", samples=20_000, progress=lambda *call: calls.append(call))
    assert calls == [("drawing samples", 16_384, 20_000), ("drawing samples", 20_000, 20_000)]


@pytest.mark.parametrize("seed", [-1, 2**64, 10**20])
def test_a_bad_seed(seed: int) -> None:
    with pytest.raises(DataError, match=rf"^synthetic:kaggle: seed={seed}; a seed is 0 or more, and below 2\^64$"):
        load("synthetic:kaggle", seed=seed)


@pytest.mark.parametrize("samples", [10**13, 10**30])
def test_more_samples_than_fit_in_memory(samples: int) -> None:
    with pytest.raises(DataError, match=rf"^synthetic:kaggle: {samples} samples do not fit in memory .*; take fewer$"):
        load("synthetic:kaggle", samples=samples)


def test_items_of_taobao_die_and_users_come_in_sessions() -> None:
    stream = Stream("taobao")
    early, later = stream.draw(0, 20_000), stream.draw(120_000, 140_000)  # no life is longer than 100,000
    users, items, categories, behaviours = (early.indices[column::4] for column in range(4))
    assert not np.isin(later.indices[1::4], items).any()
    assert np.isin(stream.draw(20_000, 21_000).indices[1::4], items).mean() > 0.3
    # An item always has one category.
    category = dict(zip(items.tolist(), categories.tolist(), strict=True))
    assert [category[item] for item in items.tolist()] == categories.tolist()
    assert len(set(categories.tolist())) > 1000
    # A user appears again within one session's reach far more often than by chance.
    gaps = np.diff(np.flatnonzero(users == np.bincount(users).argmax()))
    assert (gaps <= 3 * 4096).mean() > 0.5
    assert len(np.unique(users)) < 0.6 * len(users)
    assert np.bincount(behaviours).argmax() == 0
    assert set(behaviours.tolist()) == {0, 1, 2, 3}


def test_labels_can_be_learned_from_either_kind_of_feature(log: ClickLog) -> None:
    """Smoothed click rates of rows, learned on three quarters of the log, rank the last quarter far above chance."""
    cut = 60_000
    sparse = log.indices.reshape(log.size, -1)
    score = np.zeros(log.size - cut)
    for column, rows in zip(sparse.T, log.rows, strict=True):
        shown = np.bincount(column[:cut], minlength=rows)
        clicked = np.bincount(column[:cut], log.label[:cut], minlength=rows)
        rate = (clicked + 20 * log.label[:cut].mean()) / (shown + 20)
        score += np.log(rate / (1 - rate))[column[cut:]]
    assert area_under_curve(score, log.label[cut:]) > 0.65
    design = np.column_stack([np.ones(cut), log.dense[:cut]])
    weights = np.linalg.lstsq(design, log.label[:cut], rcond=None)[0]
    assert area_under_curve(log.dense[cut:] @ weights[1:], log.label[cut:]) > 0.52


def area_under_curve(score: np.ndarray, label: np.ndarray) -> float:
    """The chance that a click scores above a non-click (ROC AUC; ties are broken by order)."""
    ranks = np.empty(len(score))
    ranks[np.argsort(score, kind="stable")] = np.arange(1, len(score) + 1)
    clicks = label.sum()
    return float((ranks[label == 1].sum() - clicks * (clicks + 1) / 2) / (clicks * (len(label) - clicks)))
