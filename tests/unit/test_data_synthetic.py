"""The generated log: its shape, its repeatability, its skew, and that its labels can be learned."""

from __future__ import annotations

import numpy as np
import pytest

from hotline_host.data.log import ClickLog, DataError
from hotline_host.data.sources import load


@pytest.fixture(scope="module")
def log() -> ClickLog:
    return load("synthetic:kaggle")


def frequencies(log: ClickLog) -> tuple[np.ndarray, np.ndarray]:
    """Samples that hold each distinct row, and of each lookup [S, T] its row's place among them, hottest first."""
    keys = log.indices.reshape(log.size, -1) + np.concatenate([[0], np.cumsum(log.rows)[:-1]])
    counts = np.bincount(keys.ravel())
    order = np.argsort(-counts, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return counts[order], place[keys]


def test_shape(log: ClickLog) -> None:
    assert (log.size, len(log.tables), log.dense.shape) == (80_000, 26, (80_000, 13))
    assert (log.indices.dtype, log.dense.dtype, log.label.dtype) == (np.int64, np.float32, np.float32)
    assert np.isfinite(log.dense).all()
    assert set(np.unique(log.label)) == {0, 1}
    assert 0.2 < log.label.mean() < 0.3
    # Every row there is occurs, and rows are numbered in order of first appearance.
    for table, rows in zip(log.indices.reshape(log.size, -1).T, log.rows, strict=True):
        values, first = np.unique(table, return_index=True)
        assert values.tolist() == list(range(rows))
        assert (np.diff(first) > 0).all()


def test_a_seed_gives_one_log_and_a_shorter_one_is_its_beginning(log: ClickLog) -> None:
    for samples in (1, 1000, 20_000):
        short = load("synthetic:kaggle", samples=samples)
        np.testing.assert_array_equal(short.indices, log.indices[: samples * 26])
        np.testing.assert_array_equal(short.dense, log.dense[:samples])
        np.testing.assert_array_equal(short.label, log.label[:samples])
    other = load("synthetic:kaggle", samples=1000, seed=1)
    assert (other.label != log.label[:1000]).any()
    assert (other.dense != log.dense[:1000]).any()
    with pytest.raises(DataError, match="seed=-1; a seed is 0 or more"):
        load("synthetic:kaggle", seed=-1)


def test_progress(log: ClickLog) -> None:
    calls: list[tuple[str, int, int]] = []
    load("synthetic:kaggle", samples=20_000, progress=lambda *call: calls.append(call))
    assert calls == [("drawing samples", 16_384, 20_000), ("drawing samples", 20_000, 20_000)]


def test_skew_is_that_of_the_real_log(log: ClickLog) -> None:
    """Against what was measured on the first 80,000 samples of Criteo Kaggle."""
    counts, place = frequencies(log)
    assert len(counts) == pytest.approx(200_067, rel=0.15)
    assert (counts == 1).mean() == pytest.approx(0.71, abs=0.05)
    for share, served, popular in ((0.01, 0.73, 0.035), (0.05, 0.84, 0.20), (0.10, 0.88, 0.33), (0.25, 0.93, 0.505)):
        hot = int(share * len(counts))
        assert counts[:hot].sum() / counts.sum() == pytest.approx(served, abs=0.05), share
        assert (place < hot).all(axis=1).mean() == pytest.approx(popular, rel=0.3), share
    half = load("synthetic:kaggle", samples=40_000)
    assert np.log2(log.rows.sum() / half.rows.sum()) == pytest.approx(0.7, abs=0.1)


def test_columns_are_cold_together_and_in_the_tables_that_are(log: ClickLog) -> None:
    counts, place = frequencies(log)
    cold = place >= len(counts) // 10
    nonpopular = cold.any(axis=1)
    assert cold[nonpopular].sum(axis=1).mean() == pytest.approx(4.6, rel=0.2)
    share = cold[nonpopular].mean(axis=0)
    assert {int(table) + 1 for table in np.argsort(-share)[:5]} == {3, 12, 21, 16, 4}
    # Were columns independent, this is how often all of them would be hot.
    assert (~nonpopular).mean() > 5 * np.prod(1 - cold.mean(axis=0))


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
