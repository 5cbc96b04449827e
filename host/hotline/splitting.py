"""Who says which rows are hot, and who gathers the others: an accelerator, or nobody if all rows are on the device."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hotline_device.host_memory import HostMemory
from hotline_device.registry import find_backend
from hotline_host.driver.follow import FollowOptions
from hotline_host.pipelines.accelerators import Accelerator
from hotline_host.pipelines.gatherers import Gatherer, HostGatherer, PoolsGatherer
from hotline_host.pipelines.pipeline import AcceleratorOptions
from hotline_host.pipelines.shared_accelerator import open_for
from hotline_host.splitters.replayed import recording_of
from hotline_host.splitters.splitter import Splitter
from hotline_host.splitters.static_hot import AllHot
from hotline_host.training.embeddings import PooledEmbeddings
from hotline_host.training.ranks import Ranks
from hotline_hw.spec.descriptors import GRANULE_BYTES, MAX_ROW_BYTES
from hotline_hw.spec.params import Geometry, preset

from .tables import Tables

__all__ = ["FOLLOW", "Splitting"]

FOLLOW = FollowOptions(relearn_share=0.25, select_every=8)
"""How the hot rows follow popularity, unless it is said."""
_HOT_SHARE = 0.1
"""Share of all rows that are hot, unless it is said."""


class Splitting:
    """Splits mini-batches and gathers their rows.

    Args:
        accelerator: a backend, "replay:FILE", or None.
        hot_rows: None: a tenth of the rows, if the accelerator can hold that many.
        geometry: of an accelerator that is simulated, or the name of a preset.
        follow: how the hot rows follow popularity.
        options: of the backend.
        ranks: who trains.

    Attributes:
        hot_rows: slots of the hot table.
        most_moves: most rows that become hot before one mini-batch.
        memory: that the accelerator reaches; None if there is none.
    """

    splitter: Splitter
    gatherer: Gatherer

    def __init__(
        self, accelerator: str | None, tables: Tables, hot_rows: int | None, geometry: str | Geometry,
        follow: FollowOptions, options: Mapping[str, Any], ranks: Ranks,
    ) -> None:  # fmt: skip
        self._accelerator: Accelerator | None = None
        self._several = ranks.count > 1
        self.memory: HostMemory | None = None
        if accelerator is None:
            self.splitter = AllHot(tables.rows.rows)
            self.hot_rows, self.most_moves = self.splitter.hot_rows, 0
            return
        built = preset(geometry) if isinstance(geometry, str) else geometry
        if hot_rows is None:
            hot_rows = min(int(_HOT_SHARE * int(tables.rows.bases[-1])), built.hot_capacity)
        if not recording_of(accelerator):
            find_backend(accelerator)
        opened = AcceleratorOptions(backend=accelerator, geometry=built, options=dict(options), follow=follow)
        self._accelerator = open_for(ranks, opened, hot_rows)
        self.hot_rows, self.most_moves = self._accelerator.hot_rows, self._accelerator.most_moves
        self.memory = self._accelerator.memory

    def start(self, rows: PooledEmbeddings) -> None:
        """Places the hot rows."""
        self.gatherer = self._gatherer(rows)
        if self._accelerator is not None:
            self.splitter = self._accelerator.learn([], [], lambda *_: None)
        self.place(rows)

    def place(self, rows: PooledEmbeddings) -> None:
        """Makes the rows hot that are hot for the splitter now."""
        if self._accelerator is None:
            rows.place_all()
        else:
            rows.place(*self.splitter.placed())

    def state(self) -> dict[str, Any]:
        """What the splits to come depend on, for a checkpoint; empty without an accelerator."""
        return self._accelerator.state() | {"splitter": self.splitter.state()} if self._accelerator else {}

    def check_state(self, state: dict[str, Any]) -> None:
        """Raises DriverError if `restore` cannot take what `state` gave."""
        if self._accelerator is not None:
            self._accelerator.check_state(state)

    def restore(self, state: dict[str, Any], rows: PooledEmbeddings) -> None:
        """Goes on from what `state` gave, as far as this accelerator can, and makes its hot rows hot."""
        if self._accelerator is None:
            return
        placed = self._accelerator.restore(state)
        if placed:
            rows.place(*placed)
        if "splitter" in state:
            self.splitter.resume(state["splitter"])

    def close(self) -> None:
        if self._accelerator is not None:
            self._accelerator.close()

    def _gatherer(self, rows: PooledEmbeddings) -> Gatherer:
        if self._accelerator is None or len(rows.pools) > 1 or self._several:
            return PoolsGatherer(rows)
        size = rows.pool.row_bytes
        if self.memory is not None and (size % GRANULE_BYTES or size > MAX_ROW_BYTES):
            return HostGatherer(rows.pool)  # the accelerator cannot gather rows of this size
        return self._accelerator.gatherer(rows.pool)
