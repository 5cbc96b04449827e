"""The quality of predictions."""

from __future__ import annotations

import numpy as np

__all__ = ["auc"]


def auc(labels: np.ndarray, scores: np.ndarray) -> float:
    """Area under the ROC curve: the share of (positive, negative) pairs that are ranked right. A tie counts one half.

    The result is exact: pairs are counted in integers (Mann-Whitney U).

    Args:
        labels: [S], 0 or 1.
        scores: [S], larger for more likely, on any monotonic scale.

    Raises:
        ValueError: one class only, a label other than 0 and 1, a NaN score, or lengths that differ.
    """
    labels, scores = _checked(labels, scores)
    positive = labels == 1
    positives, negatives = int(positive.sum()), int((~positive).sum())
    if not positives or not negatives:
        raise ValueError(f"AUC needs both classes; there are {positives} positive and {negatives} negative labels")
    _, group = np.unique(scores, return_inverse=True)
    tied_positives = np.bincount(group[positive], minlength=group.max() + 1)
    tied_negatives = np.bincount(group[~positive], minlength=group.max() + 1)
    below = np.cumsum(tied_negatives) - tied_negatives
    twice_right = int((tied_positives * (2 * below + tied_negatives)).sum())
    return twice_right / (2 * positives * negatives)


def _checked(labels: np.ndarray, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, scores = np.asarray(labels, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    if labels.shape != scores.shape or labels.ndim != 1 or not len(labels):
        raise ValueError(
            f"labels {labels.shape} and scores {scores.shape} must be one-dimensional, equally long, not empty"
        )
    if not np.isin(labels, (0, 1)).all():
        raise ValueError(f"labels must be 0 or 1, not {labels[~np.isin(labels, (0, 1))][0]}")
    if np.isnan(scores).any():
        raise ValueError(f"score {int(np.isnan(scores).argmax())} is NaN")
    return labels, scores
