"""Fitted constants of the logs drawn by cluster.

They were found by an evolution strategy (separable CMA-ES, 10 candidates a generation, logs of 80,000 samples, seeds 0
to 2 in turn). It minimised the squared relative errors of `measure` against `KAGGLE`, both in
`hotline_host.experiments.synthetic_fit`. Errors above 6% on the whole log, and above 10% on its second half, were
penalised.

The slope of a table was not fitted. It follows from the shift of the table's kind and from the table's share of the
log's distinct rows. These shares are estimates: tables 3, 12, 21, 16 and 4 hold three quarters of the rows. They
reproduce `cold` and `independent`, which supports them. Finally, `jump` of large tables and `loading` of small ones
were set by hand.
"""

from __future__ import annotations

from typing import NamedTuple

from .shapes import SHAPES, Shape

__all__ = ["CLUSTERS", "Column", "Fit", "columns_of"]


class Fit(NamedTuple):
    """Constants of clusters and samples. Chances and shares are 0 to 1.

    Attributes:
        clusters, slope, shift: number of clusters, and their Zipf-Mandelbrot popularity.
        cluster_level: weight of a cluster's popularity in its level. Popular clusters prefer frequent rows.
        sample_level: weight of the cluster's level in a sample's level.
        edge: `Column.jump` is added to a level above it, so samples are either usual or rare, with little between.
        hinge: the part of a level above it is multiplied by `Column.steepness`.
        faithful: share of samples that follow their cluster equally in every table.
        faithful_follow: chance that a lookup of such a sample is one of the cluster's preferred rows.
        first: share of those lookups that go to the cluster's favourite row; three other rows divide the rest.
        burst: chance that a sample takes the cluster of a sample up to `reach` samples earlier.
        reach: samples.
    """

    clusters: float
    slope: float
    shift: float
    cluster_level: float
    sample_level: float
    edge: float
    hinge: float
    faithful: float
    faithful_follow: float
    first: float
    burst: float
    reach: float


CLUSTERS = Fit(
    clusters=1e7,
    slope=1.3420,
    shift=1037,
    cluster_level=0.728,
    sample_level=0.641,
    edge=0.318,
    hinge=1.59,
    faithful=0.793,
    faithful_follow=0.984,
    first=0.749,
    burst=0.0314,
    reach=1356,
)


class Column(NamedTuple):
    """How the lookups of one table are drawn.

    Attributes:
        slope, shift: of its popularity curve; the slope is above 0 and not 1.
        loading: weight of the level in a lookup's rarity, 0 to 1.
        jump: added to a level above `Fit.edge`.
        steepness: factor of the part of a level above `Fit.hinge`.
        follow: chance that a lookup is one of the cluster's preferred rows, in a sample that is not faithful.
    """

    slope: float
    shift: float
    loading: float
    jump: float
    steepness: float
    follow: float


# Tables of three kinds, by their rows.
_LARGE_ROWS, _MIDDLE_ROWS = 1_000_000, 2_000
_LARGE = Column(slope=1.052, shift=4.19, loading=0.851, jump=0.95, steepness=1.23, follow=0.728)
_MIDDLE = Column(slope=1.451, shift=6.3, loading=0.797, jump=0.0947, steepness=4.25, follow=0.356)
_SMALL = Column(slope=1.142, shift=0.3, loading=0.066, jump=0, steepness=5.18, follow=0.484)

_KAGGLE_SLOPES = {
    3: 1.007, 4: 1.129, 12: 1.021, 16: 1.063, 21: 1.037,
    7: 1.238, 10: 1.291, 11: 1.444, 13: 1.440, 15: 1.440, 18: 1.663, 19: 1.903, 24: 1.293, 26: 1.349,
}  # fmt: skip
"""Slopes of Kaggle's large and middle tables, numbered from 1."""


def columns_of(shape: Shape) -> list[Column]:
    """The column of each table. Logs other than Kaggle's use the mean slope of Kaggle's tables of a kind."""
    slopes = _KAGGLE_SLOPES if shape is SHAPES["kaggle"] else {}
    return [_column(rows, slopes.get(number)) for number, rows in enumerate(shape.rows, start=1)]


def _column(rows: int, slope: float | None) -> Column:
    kind = _LARGE if rows > _LARGE_ROWS else _MIDDLE if rows > _MIDDLE_ROWS else _SMALL
    return kind if slope is None else kind._replace(slope=slope)
