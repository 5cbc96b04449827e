"""What the tables are, and how their rows and features are numbered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from hotline_host.errors import SettingsError
from hotline_host.pool.rows import TableRows

__all__ = ["EmbeddingBagConfig", "Feature", "Tables"]

_POOLING = ("sum", "mean", None)


@dataclass(frozen=True, kw_only=True)
class EmbeddingBagConfig:
    """A table.

    Attributes:
        name: of the table.
        num_embeddings: its rows.
        embedding_dim: D.
        feature_names: the features that look rows up in it. None: one, of the table's name.
        pooling: "sum", "mean", or None: every lookup gives a vector of its own.

    Raises:
        SettingsError: naming the table and the field.
    """

    name: str
    num_embeddings: int
    embedding_dim: int
    feature_names: Sequence[str] | None = None
    pooling: str | None = "sum"

    def __post_init__(self) -> None:
        for field in ("num_embeddings", "embedding_dim"):
            if getattr(self, field) < 1:
                raise SettingsError(f"table {self.name}: {field} is {getattr(self, field)}; it must be at least 1")
        if self.feature_names is None:
            object.__setattr__(self, "feature_names", [self.name])
        if isinstance(self.feature_names, str) or not self.feature_names:
            raise SettingsError(
                f"table {self.name}: feature_names is {self.feature_names!r}; it must be a list of names"
            )
        if self.pooling not in _POOLING:
            raise SettingsError(f"table {self.name}: pooling is {self.pooling!r}; it must be 'sum', 'mean' or None")


@dataclass(frozen=True)
class Feature:
    """A feature, and its table's number."""

    name: str
    table: int
    pooling: str | None


class Tables:
    """Tables by D, and features by table, so that rows of one D have keys next to each other.

    Attributes:
        given: the tables in the order in which they were given; `ordered` by D.
        rows: numbers the rows of `ordered`.
        features: in the order of their tables.
        groups: for each D, which of `features` have it.

    Raises:
        SettingsError: there is no table, or a name is given twice.
    """

    def __init__(self, given: Sequence[EmbeddingBagConfig]) -> None:
        self.given = list(given)
        if not self.given:
            raise SettingsError("tables is empty; give at least one EmbeddingBagConfig")
        self.ordered = sorted(self.given, key=lambda table: table.embedding_dim)
        self.rows = TableRows(np.array([table.num_embeddings for table in self.ordered]))
        self.features = [
            Feature(name, number, table.pooling)
            for number, table in enumerate(self.ordered)
            for name in table.feature_names or ()
        ]
        for what, names in (("table", [t.name for t in given]), ("feature", [f.name for f in self.features])):
            twice = {name for name in names if names.count(name) > 1}
            if twice:
                raise SettingsError(f"{what} {sorted(twice)[0]} is given twice; names must differ")
        dimensions = [self.ordered[feature.table].embedding_dim for feature in self.features]
        self.groups = [
            slice(dimensions.index(each), len(dimensions) - dimensions[::-1].index(each))
            for each in dict.fromkeys(dimensions)
        ]

    @property
    def dimensions(self) -> list[int]:
        """D of each of `ordered`."""
        return [table.embedding_dim for table in self.ordered]

    @property
    def outputs(self) -> list[str]:
        """Names of the features, in the order in which the tables were given."""
        return [name for table in self.given for name in table.feature_names or ()]
