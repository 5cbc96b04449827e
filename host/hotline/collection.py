"""Embedding tables as a module: hot rows on the device, cold rows in host memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from hotline_host.driver.follow import FollowOptions
from hotline_host.errors import SettingsError
from hotline_host.training.checkpoint import Rows
from hotline_host.training.optim import RowOptimizer
from hotline_host.training.ranks import Ranks
from hotline_hw.spec.params import Geometry

from .jagged import JaggedTensor, KeyedTensor
from .lookups import Lookups, jagged
from .loop import Loop
from .preparation import Preparation
from .processes import present_ranks
from .splitting import FOLLOW, Splitting
from .tables import EmbeddingBagConfig, Tables
from .training_step import OrderError

__all__ = ["EmbeddingBagCollection"]


class EmbeddingBagCollection(nn.Module):
    """Pooled vectors of rows that an accelerator keeps where they are needed.

    In training mode it takes the batches that `hotline.prefetch` yields, each once and in order. The backward pass
    updates the rows; they are no `parameters()`, and the model's own optimizer is for the dense parameters alone. In
    evaluation mode it takes any batch, and nothing changes.

    Args:
        tables: what there is to look up.
        optimizer: of the rows. Its learning rate is a tensor, which a schedule may write.
        accelerator: what chooses the hot rows and gathers the cold ones: "model", "verilated" or another backend of
            `hotline --help`, "replay:FILE" for what `hotline record` wrote. None: all rows are on `device`.
        hot_rows: rows that may be on the device. None: as many as `hot_bytes` hold, or a tenth of all rows.
        hot_bytes: of device memory for them, with their optimizer state. With several D every pool has all slots.
        preset: the accelerator's parameters, where it is simulated: a name or a `Geometry`.
        options: of the backend: `timing` of simulated memory, or the files of a card, for example.
        follow: how the hot rows follow popularity. None: a quarter of the mini-batches are learned from, and every
            eighth of them begins with new hot rows.
        accumulate: batches whose gradients are added before their rows are updated. Scale the loss yourself.
        device: of the vectors, and of the hot rows.
        dtype: of rows and vectors. None: torch's default.
        seed: of the initial rows.
        folder: keep the rows in files there, mapped, so that they may be larger than memory. None: in memory.
        lazy: draw a row when it is first looked up, and take no space before. Its value is the same.
        check: poison storage that owns no row, so that a row read where it does not live shows. Slow.
        ranks: who trains these tables, each process on its part of every batch: `hotline.Alone()` or
            `hotline.Together()`. None: all processes of torch.distributed where it is initialised, else this one.
            docs/guide/distributed.md says which methods all of them call together.

    Raises:
        SettingsError: a setting makes no sense. It is named.
        DeviceError: the accelerator cannot be built or started.
        DriverError: `hot_rows` is beyond the accelerator.
    """

    def __init__(
        self,
        tables: Sequence[EmbeddingBagConfig],
        *,
        optimizer: RowOptimizer,
        accelerator: str | None = None,
        hot_rows: int | None = None,
        hot_bytes: int | None = None,
        preset: str | Geometry = "kaggle",
        options: Mapping[str, Any] | None = None,
        follow: FollowOptions | None = None,
        accumulate: int = 1,
        device: torch.device | str = "cpu",
        dtype: torch.dtype | None = None,
        seed: int = 0,
        folder: Path | str | None = None,
        lazy: bool = False,
        check: bool = False,
        ranks: Ranks | None = None,
    ) -> None:
        super().__init__()
        if accumulate < 1:
            raise SettingsError(f"accumulate is {accumulate}; it must be at least 1")
        dtype = dtype or torch.get_default_dtype()
        if accelerator is None and (folder or lazy):
            raise SettingsError(
                "folder or lazy is given, but without an accelerator all rows are on the device; name one"
            )
        if lazy and dtype not in (torch.float32, torch.float64):
            raise SettingsError(f"dtype is {dtype} with lazy; with lazy it must be torch.float32 or torch.float64")
        self._tables, self._optimizer, self.accumulate = Tables(tables), optimizer, accumulate
        self._seed, self._lazy = seed, lazy
        self._apart = False  # `save` keeps the rows, and `state_dict` leaves them out
        self._loaded = False  # rows may not have their initial values
        try:
            optimizer.to(torch.device(device))
        except ValueError as error:
            raise SettingsError(str(error)) from None
        hot_rows = _hot_rows(self._tables, optimizer, dtype, hot_rows, hot_bytes)
        self._ranks = ranks or present_ranks(torch.device(device))
        self._splitting = Splitting(
            accelerator, self._tables, hot_rows, preset, follow or FOLLOW, options or {}, self._ranks
        )
        try:
            host: dict[str, Any] = {"check": check, "folder": Path(folder) if folder else None, "lazy": lazy}
            if len(self._tables.groups) == 1 and self._ranks.count == 1:
                host["memory"] = self._splitting.memory
            self._rows = self._ranks.embeddings(
                self._tables.rows, self._tables.dimensions, self._splitting.hot_rows, lookups=0,
                moves=self._splitting.most_moves, device=torch.device(device), dtype=dtype, seed=seed,
                state=optimizer.state_shape, resident=accelerator is None, **(host if accelerator else {}),
            )  # fmt: skip
            self._splitting.start(self._rows)
        except BaseException:
            self._splitting.close()
            raise
        self._loop = Loop(Preparation(self._tables, self._rows, self._splitting, self._ranks), optimizer)

    @property
    def rate(self) -> Tensor:
        """The learning rate of the rows, []. Writing it counts from the next update on."""
        return self._optimizer.rate

    def extra_repr(self) -> str:
        return ", ".join(
            f"{table.name}: {table.num_embeddings} x {table.embedding_dim}" for table in self._tables.given
        )

    def forward(self, features: Any) -> KeyedTensor:
        """The vectors of each feature's bags.

        Args:
            features: a KeyedJaggedTensor of B samples, ours or TorchRec's, or a dictionary as
                `KeyedJaggedTensor.from_dict` takes it. In training mode that of the batch that prefetch yielded last.

        Raises:
            OrderError: in training mode, if it is of another batch.
        """
        features = jagged(features)
        if self.training:
            step, number = self._loop.expected(features)
            part = self._loop.preparation.lookups(number)
            return self._collected(features, part, step.read(number, self._weights(features, part)))
        lookups = Lookups.of(features, self._tables)
        return self._collected(features, lookups, self._read(lookups, self._weights(features, lookups)))

    def skip(self) -> None:
        """Leaves out the batch that prefetch yielded last, with all that are accumulated with it: no row changes."""
        self._loop.skip()

    @torch.no_grad()
    def weights(self) -> dict[str, Tensor]:
        """A copy of every table, [rows, D], on the host, by name: what `nn.EmbeddingBag` calls its weight."""
        self._loop.rest()
        tables, _ = self._rows.export()
        return {table.name: values for table, values in zip(self._tables.ordered, tables, strict=True)}

    @torch.no_grad()
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Overwrites every table, and makes the optimizer's state zero. Call it outside of the training loop.

        Raises:
            SettingsError: a table is missing, or has another shape.
            OrderError: a prefetch has not ended.
        """
        tables, states = self._replaced(weights, None)
        self._rows.load(tables, states)

    @torch.no_grad()
    def get_extra_state(self) -> dict[str, Any]:
        """What `state_dict` of the model holds of the rows: a copy of all of them, with what their optimizer and the
        accelerator's tracker know. It does not say where a row lives, so any accelerator can go on from it."""
        if self._apart:
            return {}
        self._loop.rest()
        tables, states = self._rows.export()
        names = [table.name for table in self._tables.ordered]
        return {
            "tables": dict(zip(names, tables, strict=True)), "states": dict(zip(names, states, strict=True)),
            "optimizer": self._optimizer.state_dict(), "accelerator": self._splitting.state(),
        }  # fmt: skip

    @torch.no_grad()
    def set_extra_state(self, state: dict[str, Any]) -> None:
        """Goes on from what `get_extra_state` gave. `load_state_dict` of the model calls it.

        Raises:
            SettingsError: a table is missing, or it or its optimizer's state has another shape.
            DriverError: the tracker is of another accelerator, or of another number of hot rows.
            OrderError: a prefetch has not ended.
        """
        if self._apart:
            return
        tables, states = self._replaced(state["tables"], state["states"])
        self._splitting.check_state(state["accelerator"])
        self._rows.load(tables, states)
        self._optimizer.load_state_dict(state["optimizer"])
        self._splitting.restore(state["accelerator"], self._rows)

    def figures(self) -> dict[str, int]:
        """Counts of the mini-batches that were trained on so far.

        mini_batches, samples, popular (samples with no cold row), lookups, hits (of hot rows), moved (rows that became
        hot); and of the unique cold rows: gathered by the accelerator, by_host, held (in the pool already).
        With several processes these are of all of them; and network_sent, bytes that this one sent, and network_least,
        bytes of rows and gradients that all had to send (docs/guide/distributed.md).
        """
        figures = dict(self._loop.figures)
        if traffic := self._ranks.traffic:
            figures |= {"network_sent": sum(traffic.sent.values()), "network_least": traffic.least}
        return figures

    def close(self) -> None:
        """Ends the accelerator. What was trained can still be read.

        Raises:
            OSError: a checkpoint that was being written cannot be written. All the same it is closed.
        """
        self._loop.close()
        self._splitting.close()
        try:
            self._loop.saver.wait()
        finally:
            self._rows.close()

    # Within

    @property
    def _identity(self) -> dict[str, Any]:
        """What must be equal where a checkpoint goes on."""
        tables = [[table.name, table.num_embeddings, table.embedding_dim] for table in self._tables.ordered]
        dtype = str(self._rows.pool.rows.dtype)
        return {"tables": tables, "optimizer": type(self._optimizer).__name__, "dtype": dtype}

    def _kept(self) -> dict[str, Any]:
        """What a checkpoint holds of the collection beside its rows: plain data and tensors."""
        return {
            "identity": self._identity, "undrawn_seed": self._seed if self._lazy else None,
            "optimizer": self._optimizer.state_dict(), "accelerator": self._splitting.state(),
            "figures": dict(self._loop.figures), "position": self._loop.position,
        }  # fmt: skip

    @torch.no_grad()
    def _go_on(self, kept: Mapping[str, Any], shards: Iterable[Rows]) -> None:
        """Takes what `_kept` gave, and the rows."""
        self._splitting.check_state(kept["accelerator"])
        self._splitting.restore(kept["accelerator"], self._rows)
        self._loaded = True
        self._rows.load_shards(shards)
        self._optimizer.load_state_dict(kept["optimizer"])
        self._loop.figures.update(kept["figures"])
        self._loop.position = kept["position"]

    def _replaced(
        self, tables: Mapping[str, Tensor], states: Mapping[str, Tensor] | None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """New tables and optimizer states, by number, of those by name. Without states they are zero."""
        if self._loop.active:
            raise OrderError("rows cannot be loaded inside of the loop over prefetch; end that first")
        self._loop.rest()
        self._loaded = True
        new_rows: list[Tensor] = []
        new_states: list[Tensor] = []
        dtype = self._rows.pool.rows.dtype
        for table in self._tables.ordered:
            count, dimension = table.num_embeddings, table.embedding_dim
            state = (count, *self._optimizer.state_shape(dimension))
            for what, given, shape, new in (
                ("rows", tables, (count, dimension), new_rows), ("optimizer's state", states, state, new_states)
            ):  # fmt: skip
                value = torch.zeros(shape) if given is None else given.get(table.name)
                if value is None or value.shape != shape:
                    is_ = "missing" if value is None else list(value.shape)
                    raise SettingsError(f"{what} of table {table.name}: {is_}; it must be {list(shape)}")
                new.append(value.detach().to("cpu", dtype))
        return new_rows, new_states

    @torch.no_grad()
    def _read(self, lookups: Lookups, weights: Sequence[Tensor]) -> list[Tensor]:
        """As `TrainingStep.read`, of rows wherever they are."""
        self._loop.rest()
        self._rows.refresh()
        read = []
        for number, (group, pool) in enumerate(zip(self._tables.groups, self._rows.pools, strict=True)):
            rows = self._rows.read(lookups.keys(self._tables, group), pool)
            bags = np.concatenate(lookups.bags(self._tables, group))
            offsets = torch.from_numpy(np.concatenate([[0], np.cumsum(bags)]).astype(np.int32)).to(rows.device)
            ids = torch.arange(len(rows), dtype=torch.int32, device=rows.device)
            weight = weights[number].detach() if weights else None
            read.append(self._rows.kernels.pooled_sum(rows, ids, offsets, weight))
        return read

    def _weights(self, features: Any, lookups: Lookups) -> list[Tensor]:
        given = features.weights_or_none() if hasattr(features, "weights_or_none") else None
        if given is None:
            return []
        if any(feature.pooling != "sum" for feature in self._tables.features):
            raise SettingsError("the lookups of a batch have weights; every table must have pooling='sum' then")
        given = given.to(self._rows.device, self._rows.pool.rows.dtype)
        return [lookups.weights(given, group) for group in self._tables.groups]

    def _collected(self, features: Any, lookups: Lookups, read: Iterable[Tensor]) -> KeyedTensor:
        """By feature, of the vectors of all bags of each D."""
        pooled: dict[str, Tensor] = {}
        jagged: dict[str, JaggedTensor] = {}
        for group, vectors in zip(self._tables.groups, read, strict=True):
            own, begin = self._tables.features[group], 0
            for number, (feature, bags) in enumerate(zip(own, lookups.bags(self._tables, group), strict=True)):
                part = vectors[begin : begin + len(bags)]
                begin += len(bags)
                if feature.pooling == "sum":
                    pooled[feature.name] = part
                    continue
                lengths = torch.from_numpy(lookups.lengths[group.start + number]).to(part.device)
                if feature.pooling == "mean":
                    pooled[feature.name] = part / lengths.clamp(min=1).unsqueeze(1)
                else:
                    jagged[feature.name] = JaggedTensor(part, lengths)
        names = self._tables.outputs
        return KeyedTensor({name: pooled[name] for name in names if name in pooled}, jagged)


def _hot_rows(
    tables: Tables, optimizer: RowOptimizer, dtype: torch.dtype, hot_rows: int | None, hot_bytes: int | None
) -> int | None:
    """Rows that may be hot; None: as the accelerator allows."""
    if hot_bytes is not None:
        if hot_rows is not None:
            raise SettingsError("hot_rows and hot_bytes are both given; give one of them")
        numbers = sum(dimension + int(np.prod(optimizer.state_shape(dimension))) for dimension in {*tables.dimensions})
        hot_rows = hot_bytes // (numbers * dtype.itemsize)
    if hot_rows is not None and hot_rows < 0:
        raise SettingsError(f"hot_rows is {hot_rows}; it must be 0 or more")
    return hot_rows
