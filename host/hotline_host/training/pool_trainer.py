"""The step over the pool: one forward, one backward and one update for hot and cold rows alike.

    copied in     working rows, gathered beside the step before | ids, dense features, labels
    computed      rows move | forward, backward | rows updated, dense parameters updated
    copied out    working rows, behind the next step

With the schedule `split`, the popular micro-batch runs while the working rows are still being gathered. Both
micro-batches read the same version of every parameter, and their gradients are added before the one update.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hotline_device.host_memory import HostMemory
from hotline_host.data.log import Batch
from hotline_host.plan import Moves, Split
from hotline_host.pool.planner import Planner, StepPlan

from .checkpoint import Rows
from .graphs import StepGraphs
from .inputs import StepInputs, StepSize
from .kernels import Kernels
from .link import Link
from .losses import Losses
from .pool import EmbeddingPool
from .ranks import Ranks
from .trainer import TrainConfig, Trainer

__all__ = ["PoolTrainer"]


class PoolTrainer(Trainer):
    """Trains with hot rows on the device, and cold rows in host memory. At first every row is cold.

    For every mini-batch, in this order: `plan`; `bring_back` and `pack`; its rows are gathered into the pool's staging
    memory, by `pool.fetch` or by the accelerator; `launch`. Where the next mini-batch is known, all but `launch` run in
    a thread beside the step before.

    Args:
        hot_rows: slots of the hot table.
        size: of the largest mini-batch. Its `moves` are the rows that may become hot before one.
        memory, check, zero_copy, folder, lazy: as `EmbeddingPool`.
        all_hot: no row is ever cold in a step, so no room is made for working rows.
        Others as `Trainer`. With several ranks, each plans the whole mini-batch and trains on its part of it.

    Attributes:
        embeddings: where the rows are, and the order of what moves.
        inputs: of each half.
    """

    def __init__(
        self,
        config: TrainConfig,
        rows: np.ndarray,
        hot_rows: int,
        size: StepSize,
        *,
        device: torch.device | str = "cpu",
        dtype: torch.dtype = torch.float32,
        seed: int = 0,
        memory: HostMemory | None = None,
        check: bool = False,
        all_hot: bool = False,
        zero_copy: bool = False,
        folder: Path | None = None,
        lazy: bool = False,
        ranks: Ranks | None = None,
    ) -> None:
        super().__init__(config, rows, device, dtype, seed, rows_on=device, ranks=ranks)
        self.embeddings = self.ranks.embeddings(
            self.tables, [config.model.dimension] * len(rows), hot_rows, lookups=size.lookups, moves=size.moves,
            device=self.device, all_hot=all_hot, dtype=dtype, seed=self.table_seed, memory=memory, check=check,
            zero_copy=zero_copy, folder=folder, lazy=lazy,
        )  # fmt: skip
        self.saves_beside = self.embeddings.saves_beside
        shape, moves = self.embeddings.shape, self.embeddings.moves
        room = StepSize(size.samples, size.lookups, size.tables, size.features, shape.working_rows + moves)
        self.inputs = [StepInputs(room, shape.rows, self.link, dtype) for _ in range(2)]
        self._losses = Losses(self.device, dtype)
        self._sizes = [1.0, 1.0]  # of each half, what the loss is divided by
        graphs = self.device.type == "cuda" and self.kernels.fixed_shapes and self.ranks.count == 1
        self._graphs = StepGraphs(self.device) if graphs else None
        self._popular: tuple[Tensor, Tensor] | None = None  # loss and gradient, between the two micro-batches
        self.link.synchronize()  # what was allocated is there, whatever stream uses it first

    @property
    def pool(self) -> EmbeddingPool:
        """The rows."""
        return self.embeddings.pool

    @property
    def planner(self) -> Planner:
        """Knows where each row is."""
        return self.embeddings.planner

    @property
    def link(self) -> Link:
        """To the device."""
        return self.embeddings.link

    @property
    def kernels(self) -> Kernels:
        return self.embeddings.kernels

    @property
    def hot_keys(self) -> np.ndarray:
        """int64 [H]: the key of the row in each slot after the step launched last, -1 where there is none."""
        return self.embeddings.hot_keys

    @property
    def device_bytes(self) -> int:
        """Device memory of embedding rows, their state, and the buffers of the steps."""
        return self.embeddings.device_bytes + sum(inputs.device_bytes for inputs in self.inputs)

    # Beside the step before

    def plan(self, batch: Batch, split: Split, moves: Moves | None = None) -> StepPlan:
        """Plans the next mini-batch, in the order of training.

        Raises:
            OwnershipError: a row is not where the split or the moves say it is.
            ValueError: a length does not match, or a popular sample has a cold lookup.
        """
        self._check(batch)
        return self.embeddings.plan(batch, split, moves)

    def bring_back(self, number: int) -> None:
        """As `PooledEmbeddings.bring_back`."""
        self.embeddings.bring_back(number)

    def pack(self, batch: Batch, plan: StepPlan, popular: np.ndarray | None = None) -> None:
        """Lays out what the step reads, once the mini-batch before the last was launched.

        Args:
            popular: None, or bool [B] for two micro-batches.
        """
        self.link.sent(plan.half)
        self._sizes[plan.half] = batch.size / self.ranks.count
        self.inputs[plan.half].pack(self.ranks.part(batch), plan.ids, (plan.source, plan.target), popular)

    # The step

    def launch(self, plan: StepPlan) -> None:
        """One optimizer step on the mini-batch that was planned and packed. Does not wait for the device."""
        self.launch_popular(plan)
        self.launch_rest(plan)

    def launch_popular(self, plan: StepPlan) -> None:
        """The first micro-batch, if there are two. Its working rows need not be there yet.

        Where rows become hot before the mini-batch, it waits for them: `launch_rest` then does all.
        """
        inputs = self.inputs[plan.half]
        with self.link.copying_in(plan.half):
            inputs.copy_in()
        parts = inputs.parts
        if len(parts) > 1 and not len(plan.slots):
            with self.link.computing(plan.half):
                self._popular = self._micro_batch(plan, inputs, parts[0])

    def launch_rest(self, plan: StepPlan) -> None:
        """The rest of the step."""
        inputs = self.inputs[plan.half]
        self.arrive(plan)
        with self.link.computing(plan.half):
            if self._graphs and len(inputs.parts) == 1 and inputs.full:
                loss = self._graphs.run(
                    (plan.half, inputs.one_hot), lambda: self._step(plan, inputs, inputs.all_lookups())
                )
            else:
                loss = self._step(plan, inputs)
            self._losses.record(loss)
        self.embeddings.depart(plan)

    def arrive(self, plan: StepPlan) -> None:
        """The gathered rows go to their half, and rows move. Alone, it gives a mini-batch up but keeps its moves."""
        self.embeddings.arrive(plan, self.inputs[plan.half].move_ids())

    def _step(self, plan: StepPlan, inputs: StepInputs, lookups: tuple[Tensor, Tensor | None] | None = None) -> Tensor:
        """The micro-batches that are left, and the update. Returns the loss.

        Args:
            lookups: of the one micro-batch, as `StepInputs.all_lookups`.
        """
        done = [self._popular] if self._popular else []
        self._popular = None
        done += [self._micro_batch(plan, inputs, part, lookups) for part in inputs.parts[len(done) :]]
        losses, gradients = zip(*done, strict=True)
        self.dense_optimizer.step()
        gradient = (torch.cat(gradients) if len(gradients) > 1 else gradients[0]).contiguous()
        self.embeddings.update(self.row_optimizer, plan, 0, gradient, inputs.groups())
        return losses[0] if len(losses) == 1 else losses[0] + losses[1]

    def _micro_batch(
        self, plan: StepPlan, inputs: StepInputs, part: slice, lookups: tuple[Tensor, Tensor | None] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Loss and gradient of the pooled rows, [bags, D]. Dense gradients are added to `.grad`."""
        if part.start == 0:
            self.dense_optimizer.zero_grad()
        pooled = self.kernels.pooled_sum(self.pool.rows, *(lookups or inputs.lookups_of(part)))
        return self._backward(*inputs.dense(part), pooled, self._sizes[plan.half])

    # Between two steps

    def losses(self) -> np.ndarray:
        return self.ranks.mean(self._losses.take())

    def synchronize(self) -> None:
        self.link.synchronize()

    def close(self) -> None:
        """Returns when the device has nothing left to do. What was trained can still be read."""
        self.embeddings.close()

    def give_up(self, plan: StepPlan) -> None:
        """Leaves out the step of a mini-batch that was planned, packed and gathered. Its moves happen."""
        with self.link.copying_in(plan.half):
            self.inputs[plan.half].copy_in()
        self.arrive(plan)
        self.embeddings.depart(plan)

    def refresh(self) -> None:
        """Host memory has the present value of every row that is not hot. Mini-batches may have been planned ahead."""
        self.embeddings.refresh()

    def settle(self) -> None:
        """Every row that is not hot is in host memory, and no mini-batch is planned."""
        self.embeddings.settle()

    def place(self, tables: np.ndarray, rows: np.ndarray, slots: np.ndarray) -> int:
        """As `PooledEmbeddings.place`."""
        return self.embeddings.place(tables, rows, slots)

    @torch.no_grad()
    def predict(self, batch: Batch) -> np.ndarray:
        """As `Trainer.predict`. Call `refresh` after the last step, before the first prediction."""
        self._check(batch)
        keys = self.tables.keys(batch.tables, batch.indices)
        rows = self.embeddings.read(keys)
        offsets = np.concatenate([[0], np.cumsum(batch.lengths.ravel())]).astype(np.int32)
        ids = torch.arange(len(keys), dtype=torch.int32, device=self.device)
        pooled = self.kernels.pooled_sum(rows, ids, torch.from_numpy(offsets).to(self.device))
        dense = self._tensor(batch.dense).to(self.device)
        return self._logits(dense, pooled.view(*batch.lengths.shape, -1)).double().cpu().numpy()

    def export(self) -> tuple[list[Tensor], list[Tensor]]:
        return self.embeddings.export()

    def shards(self, size: int) -> Iterator[Rows]:
        return self.embeddings.shards(size)

    def load_shards(self, shards: Iterable[Rows]) -> None:
        """Call it while no mini-batch is planned ahead."""
        self.embeddings.load_shards(shards)

    def _load_rows(self, tables: list[Tensor], accumulators: list[Tensor]) -> None:
        """Call it while no mini-batch is planned ahead."""
        self.embeddings.load(tables, accumulators)
