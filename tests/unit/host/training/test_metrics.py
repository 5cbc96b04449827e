"""AUC against its definition."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from hotline_host.training.metrics import auc


@given(st.lists(st.tuples(st.booleans(), st.integers(-3, 3)), min_size=2, max_size=40))
def test_auc_counts_pairs(samples: list[tuple[bool, int]]) -> None:
    positive = [score for label, score in samples if label]
    negative = [score for label, score in samples if not label]
    assume(positive and negative)
    right = sum(Fraction(p > n) + Fraction(p == n, 2) for p in positive for n in negative)
    labels, scores = (np.array(column) for column in zip(*samples, strict=True))
    assert auc(labels, scores) == pytest.approx(float(right / (len(positive) * len(negative))), abs=1e-15)
    assert auc(labels, np.exp(scores)) == auc(labels, scores)


def test_auc_of_known_rankings() -> None:
    labels = np.array([0, 0, 1, 1])
    assert auc(labels, np.array([1, 2, 3, 4])) == 1.0
    assert auc(labels, np.array([4, 3, 2, 1])) == 0.0
    assert auc(labels, np.zeros(4)) == 0.5
    assert auc(labels, np.array([0.1, 0.4, 0.35, 0.8])) == 0.75


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1, 1], [0, 1], "2 positive and 0 negative"),
        ([0, 2], [0, 1], "labels must be 0 or 1, not 2"),
        ([0, 1], [0, math.nan], "score 1 is NaN"),
        ([0, 1], [0, 1, 2], "equally long"),
        ([], [], "not empty"),
    ],
)
def test_auc_names_what_is_wrong(labels: list, scores: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        auc(np.array(labels), np.array(scores))
