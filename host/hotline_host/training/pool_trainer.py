"""The step over the pool: one forward, one backward and one update for hot and cold rows alike.

    copied in     working rows, gathered beside the step before | ids, dense features, labels
    computed      rows move | forward, backward | rows updated, dense parameters updated
    copied out    working rows, behind the next step

With the schedule `split`, the popular micro-batch runs while the working rows are still being gathered. Both
micro-batches read the same version of every parameter, and their gradients are added before the one update.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from hotline_device.compiled import compiled
from hotline_device.host_memory import HostMemory
from hotline_host.data.log import Batch
from hotline_host.plan import Moves, Split
from hotline_host.pool.planner import Planner, PoolShape, StepPlan

from .graphs import StepGraphs
from .inputs import StepInputs, StepSize
from .kernels import kernels_for
from .link import link_to
from .losses import Losses
from .pool import EmbeddingPool
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
        memory, check, zero_copy, folder: as `EmbeddingPool`.
        all_hot: no row is ever cold in a step, so no room is made for working rows.
        Others as `Trainer`.

    Attributes:
        pool: the rows.
        planner: knows where each row is.
        link: to the device.
        hot_keys: int64 [H], the key of the row in each slot after the step launched last, -1 where there is none.
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
    ) -> None:
        super().__init__(config, rows, device, dtype, seed, rows_on=device)
        moves = min(size.moves, hot_rows)
        most = 0 if all_hot else min(size.lookups, int(np.sum(rows))) + 2 * moves
        # A multiple of 64 rows, so that both halves begin where the accelerator can write.
        shape = PoolShape(hot_rows, -(-most // 64) * 64)
        self.link = link_to(self.device)
        self.kernels = kernels_for(self.device)
        self.pool = EmbeddingPool(
            self.tables, config.model.dimension, shape, device=self.device, link=self.link, dtype=dtype,
            seed=self.table_seed, memory=memory, check=check, zero_copy=zero_copy, folder=folder,
        )  # fmt: skip
        self.planner = Planner(self.tables, shape)
        room = StepSize(size.samples, size.lookups, size.tables, size.features, shape.working_rows + moves)
        self.inputs = [StepInputs(room, shape.rows, self.link, dtype) for _ in range(2)]
        self._losses = Losses(self.device, dtype)
        self._graphs = StepGraphs(self.device) if self.device.type == "cuda" and self.kernels.fixed_shapes else None
        self._back: dict[int, tuple[np.ndarray, np.ndarray]] = {}  # places and keys, by mini-batch
        self._latest: StepPlan | None = None  # of the mini-batch launched last
        self._popular: tuple[Tensor, Tensor] | None = None  # its loss and gradient, between the two micro-batches
        self.hot_keys = np.full(hot_rows, -1, np.int64)
        self.link.synchronize()  # what was allocated is there, whatever stream uses it first
        self._slots: tuple[np.ndarray, np.ndarray] | None = None  # sorted keys that are hot, and their slots

    @property
    def device_bytes(self) -> int:
        """Device memory of embedding rows, their state, and the buffers of the steps."""
        return self.pool.device_bytes + sum(inputs.device_bytes for inputs in self.inputs)

    # Beside the step before

    def plan(self, batch: Batch, split: Split, moves: Moves | None = None) -> StepPlan:
        """Plans the next mini-batch, in the order of training.

        Raises:
            OwnershipError: a row is not where the split or the moves say it is.
            ValueError: a length does not match, or a popular sample has a cold lookup.
        """
        self._check(batch)
        _check_popular(batch, split)
        plan = self.planner.plan(split, self.tables.batch_keys(batch), moves)
        self._back[plan.number - 1] = plan.back, plan.back_keys
        return plan

    def bring_back(self, number: int) -> None:
        """Rows of a mini-batch that did not move on go to host memory. Waits for their arrival.

        Before the rows of the mini-batch after the next are gathered: it may need them, and it has the same half. Both
        mini-batches must have been planned, and this one launched.
        """
        self.link.returned(number % 2)
        due = self._back.pop(number, None)
        if due is not None:
            self.pool.write_back(number % 2, *due)

    def pack(self, batch: Batch, plan: StepPlan, popular: np.ndarray | None = None) -> None:
        """Lays out what the step reads, once the mini-batch before the last was launched.

        Args:
            popular: None, or bool [B] for two micro-batches.
        """
        self.link.sent(plan.half)
        self.inputs[plan.half].pack(batch, plan.ids, (plan.source, plan.target), popular)

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
                self._popular = self._micro_batch(inputs, parts[0])

    def launch_rest(self, plan: StepPlan) -> None:
        """The rest of the step."""
        inputs = self.inputs[plan.half]
        self.arrive(plan)
        with self.link.computing(plan.half):
            if self._graphs and len(inputs.parts) == 1 and inputs.full:
                loss = self._graphs.run((plan.half, inputs.one_hot), lambda: self._step(inputs, inputs.all_lookups()))
            else:
                loss = self._step(inputs)
            self._losses.record(loss)
        with self.link.copying_out(plan.half):
            self.pool.copy_out(plan)

    def arrive(self, plan: StepPlan) -> None:
        """The gathered rows go to their half, and rows move. Alone, it gives a mini-batch up but keeps its moves."""
        with self.link.copying_in(plan.half):
            self.pool.copy_in(self.kernels, plan)
        with self.link.computing(plan.half):
            self.pool.move(self.kernels, *self.inputs[plan.half].move_ids())
            self.link.moved(plan.half)
        self._latest = plan
        if len(plan.slots):
            self.hot_keys[plan.slots] = plan.comes
            self._slots = None

    def _step(self, inputs: StepInputs, lookups: tuple[Tensor, Tensor | None] | None = None) -> Tensor:
        """The micro-batches that are left, and the update. Returns the loss.

        Args:
            lookups: of the one micro-batch, as `StepInputs.all_lookups`.
        """
        done = [self._popular] if self._popular else []
        self._popular = None
        done += [self._micro_batch(inputs, part, lookups) for part in inputs.parts[len(done) :]]
        losses, gradients = zip(*done, strict=True)
        self.dense_optimizer.step()
        gradient = (torch.cat(gradients) if len(gradients) > 1 else gradients[0]).contiguous()
        self.kernels.update_rows(self.row_optimizer, self.pool.rows, self.pool.state, gradient, inputs.groups())
        return losses[0] if len(losses) == 1 else losses[0] + losses[1]

    def _micro_batch(
        self, inputs: StepInputs, part: slice, lookups: tuple[Tensor, Tensor | None] | None = None
    ) -> tuple[Tensor, Tensor]:
        """Loss and gradient of the pooled rows, [bags, D]. Dense gradients are added to `.grad`."""
        if part.start == 0:
            self.dense_optimizer.zero_grad()
        pooled = self.kernels.pooled_sum(self.pool.rows, *(lookups or inputs.lookups_of(part)))
        return self._backward(*inputs.dense(part), pooled, inputs.samples)

    # Between two steps

    def losses(self) -> np.ndarray:
        return self._losses.take()

    def synchronize(self) -> None:
        self.link.synchronize()

    def close(self) -> None:
        """Returns when the device has nothing left to do. What was trained can still be read."""
        self.link.close()

    def give_up(self, plan: StepPlan) -> None:
        """Leaves out the step of a mini-batch that was planned, packed and gathered. Its moves happen."""
        with self.link.copying_in(plan.half):
            self.inputs[plan.half].copy_in()
        self.arrive(plan)
        with self.link.copying_out(plan.half):
            self.pool.copy_out(plan)

    def refresh(self) -> None:
        """Host memory has the present value of every row that is not hot. Mini-batches may have been planned ahead."""
        if self._latest is not None:
            self.bring_back(self._latest.number - 1)
            self.link.returned(self._latest.half)
            places = np.flatnonzero(self._latest.keys >= 0).astype(np.int32)
            self.pool.write_back(self._latest.half, places, self._latest.keys[places])

    def settle(self) -> None:
        """Every row that is not hot is in host memory, and no mini-batch is planned."""
        self.refresh()
        self.planner.forget()
        self._back, self._latest = {}, None

    def place(self, tables: np.ndarray, rows: np.ndarray, slots: np.ndarray) -> int:
        """Puts row `rows[i]` of table `tables[i]` into `slots[i]`, for all i, and makes every other row cold.

        Call it while no mini-batch is planned ahead.

        Returns:
            The number of rows that are hot now.

        Raises:
            OwnershipError: a row or a slot is named twice. Nothing has moved then.
            IndexError: a row or a slot does not exist. Nothing has moved then.
        """
        self.settle()
        keys = self.tables.keys(tables, rows)
        self.planner.place(keys, slots)
        used = np.flatnonzero(self.hot_keys >= 0)
        self.pool.unplace(self.hot_keys[used], used)
        self.hot_keys[:] = -1
        self.hot_keys[slots] = keys
        self.pool.place(keys, np.asarray(slots, np.int64))
        self._slots = None
        return len(keys)

    @torch.no_grad()
    def predict(self, batch: Batch) -> np.ndarray:
        """As `Trainer.predict`. Call `refresh` after the last step, before the first prediction."""
        self._check(batch)
        keys = self.tables.keys(batch.tables, batch.indices)
        if self._slots is None:
            slots = np.flatnonzero(self.hot_keys >= 0)
            order = np.argsort(self.hot_keys[slots])
            self._slots = self.hot_keys[slots][order], slots[order]
        hot, slots = self._slots
        rows = self.pool.cold.index_select(0, torch.from_numpy(keys)).to(self.device)
        if len(hot):
            at = np.minimum(np.searchsorted(hot, keys), len(hot) - 1)
            there = np.flatnonzero(hot[at] == keys)
            from_pool = self.pool.rows.index_select(0, torch.from_numpy(slots[at[there]]).to(self.device))
            rows.index_copy_(0, torch.from_numpy(there).to(self.device), from_pool)
        offsets = np.concatenate([[0], np.cumsum(batch.lengths.ravel())]).astype(np.int32)
        ids = torch.arange(len(keys), dtype=torch.int32, device=self.device)
        pooled = self.kernels.pooled_sum(rows, ids, torch.from_numpy(offsets).to(self.device))
        dense = self._tensor(batch.dense).to(self.device)
        return self._logits(dense, pooled.view(*batch.lengths.shape, -1)).double().cpu().numpy()

    def export(self) -> tuple[list[Tensor], list[Tensor]]:
        self.refresh()
        return self.pool.export(self.hot_keys)

    def _load_rows(self, tables: list[Tensor], accumulators: list[Tensor]) -> None:
        """Call it while no mini-batch is planned ahead."""
        self.settle()
        slots = np.flatnonzero(self.hot_keys >= 0)
        self.pool.cold.copy_(torch.cat(tables))
        self.pool.cold_state.copy_(torch.cat(accumulators))
        self.pool.place(self.hot_keys[slots], slots)


def _check_popular(batch: Batch, split: Split) -> None:
    """Raises ValueError unless all lookups of a popular sample are hot."""
    popular = split.popular
    if popular.shape != (batch.size,) or popular.dtype != bool:
        raise ValueError(f"popular is {popular.dtype} {popular.shape}; it must be bool {(batch.size,)}")
    if split.slots.shape != batch.indices.shape:
        raise ValueError(f"slots is {split.slots.shape}; it must be {batch.indices.shape}, one for each lookup")
    at = _first_cold(split.slots, batch.sample_offsets, popular)
    if at >= 0:
        sample = int(np.searchsorted(batch.sample_offsets, at, side="right")) - 1
        raise ValueError(
            f"sample {sample} is called popular, but its lookup {at}, of row {batch.indices[at]} of table "
            f"{batch.tables[at]}, is cold"
        )


@compiled()
def _first_cold(slots, offsets, popular):
    """The first cold lookup of a popular sample, or -1."""
    for sample in range(len(popular)):
        if popular[sample]:
            for at in range(offsets[sample], offsets[sample + 1]):
                if slots[at] < 0:
                    return at
    return -1
