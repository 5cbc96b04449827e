"""Several processes that train together, on torch.distributed.

A process runs up to three threads that talk to others, each over a process group of its own: so what one waits for is
never in the way of another, and the calls over one group have one order on all ranks.

    loop       the thread of the training loop, between two steps: ends of loaders, rows for evaluation, checkpoints
    lookups    the thread that splits: the lookups of every rank
    rows       the thread that gathers: cold rows, from host memory to host memory
    step       gradients, and rows that the step before updated: where the device is a GPU, NCCL if torch has it
    node       the thread that splits, and that of the loop while nothing is split: what a node's accelerator answers
"""

from __future__ import annotations

import socket
import zlib
from collections.abc import Sequence
from datetime import timedelta
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from hotline_host.data.log import Batch
from hotline_host.errors import RanksError, SettingsError
from hotline_host.training.embeddings import PooledEmbeddings

from .ranks import Ranks, SharedBatch, Traffic

__all__ = ["TIMEOUT", "Together"]

TIMEOUT = 300.0
"""Seconds that a rank waits for another, unless it is said."""
_SIGNS = ("gloo/", "Connection closed by peer", "Connection reset by peer", "Timed out", "Broken pipe")
"""Of errors about other processes: gloo's are RuntimeErrors like any other."""


class Together(Ranks):
    """The processes of a torch.distributed group. All of them make this object, at the same point.

    Args:
        group: None: all processes.
        device: where the pool is.
        timeout: seconds that one waits for another that neither answers nor ends.
        accelerators: "node", the processes of a node share one, or "rank", each has its own. The results are the same.

    Attributes:
        node: the ranks of this node, as torch.distributed numbers all of its processes.

    Raises:
        SettingsError: `accelerators` is neither.
        RanksError: another process is gone.
    """

    def __init__(
        self, group: dist.ProcessGroup | None = None, *, device: torch.device | str = "cpu", timeout: float = TIMEOUT,
        accelerators: str = "node",
    ) -> None:  # fmt: skip
        if accelerators not in ("node", "rank"):
            raise SettingsError(f"accelerators is {accelerators!r}; it must be node or rank")
        self.number, self.count = dist.get_rank(group), dist.get_world_size(group)
        self._device, self._timeout, self._traffic = torch.device(device), timeout, Traffic()
        members = dist.get_process_group_ranks(group or dist.group.WORLD)
        on_gpu = self._device.type == "cuda" and "nccl" in str(dist.get_backend_config(group))
        backends = {"loop": "gloo", "lookups": "gloo", "rows": "gloo", "step": "nccl" if on_gpu else "gloo"}
        # With use_local_synchronization, processes that are not of the group need not be here.
        make = partial(dist.new_group, timeout=timedelta(seconds=timeout), use_local_synchronization=group is not None)
        self._groups: dict[str, Any] = {name: make(members, backend=backend) for name, backend in backends.items()}
        self._dense = group
        hosts = self.agree([zlib.crc32(socket.gethostname().encode())])[:, 0]
        self.node = [members[self.number]]
        for host in dict.fromkeys(hosts.tolist() if accelerators == "node" else []):
            ranks = [rank for rank, there in zip(members, hosts, strict=True) if there == host]
            made = make(ranks, backend="gloo")
            if host == hosts[self.number]:
                self.node, self._groups["node"] = ranks, made

    def close(self) -> None:
        """Destroys the process groups that were made here; `group` stays. All ranks call it together, once rows are
        read no more. `dist.destroy_process_group()` does the same for every group there is."""
        self.agree([0])  # none is in the middle of something
        while self._groups:
            dist.destroy_process_group(self._groups.popitem()[1])

    @property
    def leads_node(self) -> bool:
        """This is the first rank of its node, or has an accelerator of its own."""
        return dist.get_rank() == self.node[0]

    @property
    def traffic(self) -> Traffic:
        return self._traffic

    def exchange(
        self, group: str, what: str, send: Tensor, send_counts: list[int], receive_counts: list[int]
    ) -> Tensor:
        """Every rank sends some rows to every rank.

        Args:
            group: of the calling thread.
            what: is sent, in words, for figures and errors.
            send: [sum of send_counts, ...], those for rank 0 first.

        Returns:
            [sum of receive_counts, ...], those of rank 0 first.

        Raises:
            RanksError: another rank is gone, or does not answer.
        """
        received = send.new_empty(sum(receive_counts), *send.shape[1:])
        each = send[:1].nbytes
        away = sum(send_counts) - send_counts[self.number]
        if group != "loop":  # what belongs to a step
            self._traffic.sent[what] = self._traffic.sent.get(what, 0) + away * each
        try:
            dist.all_to_all_single(received, send, receive_counts, send_counts, group=self._groups[group])
        except RuntimeError as error:
            raise (self.lost(what, error) or error) from None
        return received

    def to_all(self, group: str, what: str, part: Tensor, counts: list[int]) -> Tensor:
        """[sum of counts, ...]: the rows of every rank, those of rank 0 first. This one gives `part`."""
        copies = part.repeat(self.count, *[1] * (part.dim() - 1))
        return self.exchange(group, what, copies, [len(part)] * self.count, counts)

    def tell(self, value: Any = None, *, failed: bool = False) -> Any:
        """What the first rank of the node gives as `value`. It may say instead that it has failed.

        Raises:
            RanksError: on the others, if it has failed; or it is gone.
        """
        if len(self.node) == 1:
            return value
        box = [(failed, value)]
        try:
            dist.broadcast_object_list(box, self.node[0], self._groups["node"])
        except RuntimeError as error:
            raise (self.lost("answers of the accelerator", error) or error) from None
        if box[0][0] and not self.leads_node:
            raise RanksError("the accelerator of this node has failed; see the message of its first rank")
        return box[0][1]

    def agree(self, numbers: Sequence[int]) -> np.ndarray:
        return self._agree("loop", "counts", numbers)

    def whole(self, batch: Batch | None, error: BaseException | None = None) -> Batch:
        about = [1, 0, 0, 0]  # it failed
        if batch is not None:
            about = [0, len(batch.indices), batch.size, (batch.lengths == 1).all()]
        sizes = self._agree("lookups", "sizes of mini-batches", about)
        failed = np.flatnonzero(sizes[:, 0])
        if error is not None:
            raise error
        if len(failed):
            raise RanksError(f"rank {failed[0]} cannot use its batch, and training ends on all ranks; see its message")
        assert batch is not None
        lookups, samples = sizes[:, 1].tolist(), sizes[:, 2].tolist()
        tables = batch.lengths.shape[1]
        rows = torch.from_numpy(batch.indices.astype(np.int32))
        indices = self.to_all("lookups", "lookups", rows, lookups).numpy().astype(np.int64)
        lengths = np.ones((sum(samples), tables), np.int64)
        if not sizes[:, 3].all():
            own = torch.from_numpy(batch.lengths.astype(np.int32))
            lengths = self.to_all("lookups", "lookups", own, samples).numpy().astype(np.int64)
        nothing = np.empty((len(lengths), 0), np.float32)
        return SharedBatch(indices, lengths, nothing, nothing.sum(axis=1), np.cumsum([0, *samples]))

    def part(self, batch: Batch) -> Batch:
        first, end = self.bounds(batch)[self.number : self.number + 2]
        lookups = slice(*batch.sample_offsets[[first, end]])
        return Batch(batch.indices[lookups], batch.lengths[first:end], batch.dense[first:end], batch.label[first:end])

    def bounds(self, batch: Batch) -> np.ndarray:
        """int64 [N + 1]: the first sample of each rank's part of a mini-batch."""
        if isinstance(batch, SharedBatch):
            return batch.bounds
        return np.arange(self.count + 1, dtype=np.int64) * batch.size // self.count

    def embeddings(self, *arguments: Any, **options: Any) -> PooledEmbeddings:
        from .shared_embeddings import SharedEmbeddings

        return SharedEmbeddings(self, *arguments, **options)

    def data_parallel(self, model: nn.Module) -> nn.Module:
        if not any(parameter.requires_grad for parameter in model.parameters()):
            return model
        devices = [self._device] if self._device.type == "cuda" else None
        return DistributedDataParallel(model, devices, process_group=self._dense, forward_sync_buffers=False)

    def mean(self, values: np.ndarray) -> np.ndarray:
        own = torch.from_numpy(np.ascontiguousarray(values, np.float64))
        every = self.to_all("loop", "losses", own, [len(own)] * self.count)
        return every.view(self.count, -1).mean(dim=0).numpy()

    def _agree(self, group: str, what: str, numbers: Sequence[int]) -> np.ndarray:
        own = torch.tensor([[int(number) for number in numbers]], dtype=torch.int64)
        return self.to_all(group, what, own, [1] * self.count).numpy()

    def lost(self, what: str, error: RuntimeError) -> RanksError | None:
        """What to raise for an error of torch.distributed; None: it is of another kind, or says so already.

        Args:
            what: was being exchanged.
        """
        known = isinstance(error, dist.DistError) or any(sign in str(error) for sign in _SIGNS)
        if not known or isinstance(error, RanksError):
            return None
        reason = str(error).partition("\n")[0].rpartition("] ")[2].partition(". ")[0] or "no answer"
        return RanksError(
            f"another of the {self.count} processes is gone, or did not answer within {self._timeout:g} s, while "
            f"{what} were exchanged ({reason}); see its own message"
        )
