"""A GPU's link on the CPU, for tests: `CudaLink` itself, with streams and events that only keep account.

Everything runs at once, in the order of the calls. A real GPU runs each stream in its own time, and orders two streams
only where one waits for an event of the other. `FakeCuda` follows these waits with vector clocks. An access to memory
that nothing orders against an earlier one, of which one is a write, is a race: on a GPU it could come first.

Host memory and device memory are apart, as on a GPU. What lies in pinned memory is known, so a copy from elsewhere, for
which a GPU would make the host wait, raises.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from hotline_host.training import embeddings
from hotline_host.training.inputs import StepInputs
from hotline_host.training.kernels import TorchKernels
from hotline_host.training.link import CudaLink
from hotline_host.training.pool import EmbeddingPool

Clock = dict[str, int]


class Actor:
    """The host, or a stream. `clock`: of each actor, the last access that is known to have ended."""

    def __init__(self, name: str) -> None:
        self.name, self.clock = name, {name: 0}

    def join(self, clock: Clock) -> None:
        for name, time in clock.items():
            self.clock[name] = max(time, self.clock.get(name, 0))

    def wait_event(self, event: Event) -> None:
        self.join(event.clock)

    def wait_stream(self, stream: Actor) -> None:
        self.join(stream.clock)


class Event:
    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda, self.clock = cuda, Clock()

    def record(self, stream: Actor) -> None:
        stream.join(self._cuda.host.clock)
        self.clock = dict(stream.clock)

    def synchronize(self) -> None:
        self._cuda.host.join(self.clock)


@dataclass
class Cell:
    """The last accesses to one place of memory: by whom, and when by the actor's clock."""

    write: tuple[str, int] | None = None
    reads: dict[str, int] = field(default_factory=dict)


class FakeCuda:
    """Stands for `torch.cuda`, with the names that `CudaLink` uses.

    Attributes:
        races: what was found, one line each.
        accesses: how many places were looked at.
        copying: something goes over the link, as it may.
    """

    def __init__(self) -> None:
        self.host = Actor("host")
        self.streams: list[Actor] = []
        self.current = self.Stream()
        self.races: list[str] = []
        self.accesses, self.copying = 0, False
        self._cells: dict[int, Cell] = {}

    # What torch.cuda has

    def Stream(self, device: object = None) -> Actor:
        self.streams.append(Actor(f"stream {len(self.streams)}"))
        return self.streams[-1]

    def Event(self, blocking: bool = False) -> Event:
        return Event(self)

    def current_stream(self, device: object = None) -> Actor:
        return self.current

    @contextmanager
    def stream(self, stream: Actor) -> Iterator[None]:
        before, self.current = self.current, stream
        yield
        self.current = before

    @contextmanager
    def over_the_link(self) -> Iterator[None]:
        self.copying = True
        yield
        self.copying = False

    def synchronize(self, device: object = None) -> None:
        for stream in self.streams:
            self.host.join(stream.clock)

    # Accesses to memory

    def on_device(self, what: str, tensor: Tensor, ids: Tensor | np.ndarray | None = None, *, write: bool) -> None:
        """What was put on the current stream accesses rows of a tensor: `ids`, or all."""
        self.current.join(self.host.clock)
        self._access(self.current, what, _rows(tensor, ids), write)

    def on_host(self, what: str, tensor: Tensor, ids: Tensor | np.ndarray | None = None, *, write: bool) -> None:
        self._access(self.host, what, _rows(tensor, ids), write)

    def _access(self, actor: Actor, what: str, places: Iterable[int], write: bool) -> None:
        actor.clock[actor.name] += 1
        now = actor.clock[actor.name]
        for place in places:
            self.accesses += 1
            cell = self._cells.setdefault(place, Cell())
            earlier = [cell.write] if cell.write else []
            earlier += list(cell.reads.items()) if write else []
            for name, time in earlier:
                if name != actor.name and actor.clock.get(name, 0) < time:
                    does = "writes" if write else "reads"
                    self.races.append(f"{actor.name} {does} {what}, and {name} may come later")
            if write:
                cell.write, cell.reads = (actor.name, now), {}
            else:
                cell.reads[actor.name] = now


def _rows(tensor: Tensor, ids: Tensor | np.ndarray | None) -> Iterable[int]:
    """The address of each row."""
    stride = tensor.stride(0) * tensor.itemsize if tensor.dim() else 0
    chosen = range(len(tensor)) if ids is None else (int(id_) for id_ in ids)
    return (tensor.data_ptr() + number * stride for number in chosen)


class FakeLink(CudaLink):
    """A `CudaLink` over memory of the CPU."""

    def __init__(self, cuda: FakeCuda) -> None:
        super().__init__(torch.device("cpu"))
        self.cuda, self._kept = cuda, list[Tensor]()  # what is pinned, kept so that its address is nothing else's

    def host_buffer(self, *shape: int, dtype: torch.dtype) -> Tensor:
        buffer = torch.empty(shape, dtype=dtype)
        self.adopt(buffer)
        return buffer

    def adopt(self, tensor: Tensor) -> None:
        self._kept.append(tensor)

    def is_pinned(self, tensor: Tensor) -> bool:
        return any(0 <= tensor.data_ptr() - each.data_ptr() < each.nbytes for each in self._kept)

    def copy_in(self, target: Tensor, source: Tensor) -> None:
        self._copy(super().copy_in, "a copy to the device", target, source, pinned=source, other=target)

    def copy_out(self, target: Tensor, source: Tensor) -> None:
        self._copy(super().copy_out, "a copy to the host", target, source, pinned=target, other=source)

    def _copy(
        self, copy: Callable, what: str, target: Tensor, source: Tensor, *, pinned: Tensor, other: Tensor
    ) -> None:
        if target.numel():
            assert self.is_pinned(pinned), f"{what}: the host memory is not pinned, so the host would wait"
            assert not self.is_pinned(other), f"{what}: this is no device memory"
            self.cuda.on_device(what, source, write=False)
            self.cuda.on_device(what, target, write=True)
        with self.cuda.over_the_link():
            copy(target, source)


class WatchedKernels(TorchKernels):
    """The kernels in torch, with account of what they read and write."""

    def __init__(self, cuda: FakeCuda) -> None:
        self._cuda = cuda

    def pooled_sum(self, rows: Tensor, ids: Tensor, offsets: Tensor | None, weights: Tensor | None = None) -> Tensor:
        self._cuda.on_device("ids", ids, write=False)
        self._cuda.on_device("rows for the forward pass", rows, ids, write=False)
        return super().pooled_sum(rows, ids, offsets, weights)

    def update_rows(
        self, optimizer: Any, rows: Tensor, state: Tensor, gradient: Tensor, groups: Any, weights: Tensor | None = None
    ) -> None:
        of = groups.rows[: groups.row_count]
        for tensor in (of, groups.bags[: groups.lookup_count], groups.row_chunks[: groups.row_count + 1]):
            self._cuda.on_device("the groups of lookups", tensor, write=False)
        for table in (rows, state):
            self._cuda.on_device("updated rows", table, of, write=True)
        super().update_rows(optimizer, rows, state, gradient, groups, weights)

    def copy_rows(self, rows: Tensor, state: Tensor, source: Tensor, target: Tensor) -> None:
        for tensor in (source, target):
            self._cuda.on_device("moves", tensor, write=False)
        for table in (rows, state):
            self._cuda.on_device("rows that move", table, source, write=False)
            self._cuda.on_device("rows that have moved", table, target, write=True)
        super().copy_rows(rows, state, source, target)

    def fetch_rows(self, source: Tensor, source_state: Tensor, keys: Tensor, rows: Tensor, state: Tensor) -> None:
        self._cuda.on_device("names of rows", keys, write=False)
        for of, to in ((source, rows), (source_state, state)):
            self._cuda.on_device("rows in host memory", of, keys, write=False)
            self._cuda.on_device("rows that the device has read", to, write=True)
        with self._cuda.over_the_link():
            super().fetch_rows(source, source_state, keys, rows, state)


def install(patch: pytest.MonkeyPatch) -> FakeCuda:
    """From now on, pool trainers have a `FakeLink`, and `torch.cuda` keeps account."""
    cuda = FakeCuda()
    for name in ("Stream", "Event", "current_stream", "stream", "synchronize"):
        patch.setattr(torch.cuda, name, getattr(cuda, name))
    patch.setattr(embeddings, "link_to", lambda device: FakeLink(cuda))
    patch.setattr(embeddings, "kernels_for", lambda device: WatchedKernels(cuda))

    def around(owner: type, name: str, account: Callable) -> None:
        original = getattr(owner, name)

        def watched(self: Any, *args: Any, **options: Any) -> Any:
            account(self, *args)
            return original(self, *args, **options)

        patch.setattr(owner, name, watched)

    def packed(inputs: StepInputs, *_: object) -> None:
        for name, buffer in inputs._host.items():
            cuda.on_host(f"packs {name}", buffer, write=True)

    def read(inputs: StepInputs, part: slice) -> None:
        for name in ("dense", "label"):
            cuda.on_device(name, inputs._device[name][part], write=False)

    def fetched(pool: EmbeddingPool, half: int, place: int, keys: np.ndarray) -> None:
        cuda.on_host("cold rows", pool.cold, keys, write=False)
        cuda.on_host("gathered rows", pool.staged[half][place : place + len(keys)], write=True)

    def fetched_state(pool: EmbeddingPool, half: int, place: int, keys: np.ndarray) -> None:
        cuda.on_host("cold states", pool.cold_state, keys, write=False)
        cuda.on_host("gathered states", pool.staged_state[half][place : place + len(keys)], write=True)

    def written_back(pool: EmbeddingPool, half: int, places: np.ndarray, keys: np.ndarray) -> None:
        cuda.on_host("returned rows", pool._returned[half], places, write=False)
        cuda.on_host("returned states", pool._returned_state[half], places, write=False)
        cuda.on_host("rows that are back", pool.cold, keys, write=True)
        cuda.on_host("states that are back", pool.cold_state, keys, write=True)

    def named(pool: EmbeddingPool, half: int, keys: np.ndarray) -> None:
        cuda.on_host("names rows", pool._keys[half][0][: len(keys)], write=True)

    around(StepInputs, "pack", packed)
    around(StepInputs, "dense", read)
    around(EmbeddingPool, "fetch", fetched)
    around(EmbeddingPool, "fetch_state", fetched_state)
    around(EmbeddingPool, "write_back", written_back)
    around(EmbeddingPool, "name", named)
    return cuda


class NoWaiting(TorchDispatchMode):
    """Raises where a GPU would make the host wait: at operations whose result the host needs, and at copies between
    host and device that do not go through the link.
    """

    _WAIT = (
        "_local_scalar_dense", "nonzero", "masked_select", "unique", "_unique2", "unique_dim", "unique_consecutive",
        "is_nonzero", "equal", "bincount", "repeat_interleave", "item",
    )  # fmt: skip

    def __init__(self, link: FakeLink) -> None:
        super().__init__()
        self._link = link
        self.operations = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.operations += 1
        name = func.overloadpacket.__name__
        if name in self._WAIT:
            raise AssertionError(f"{name}: the host would wait for the device")
        tensors = [each for each in (*args, *(kwargs or {}).values()) if isinstance(each, Tensor)]
        if name == "index" and any(each is not None and each.dtype == torch.bool for each in args[1]):
            raise AssertionError("index by a mask: the host would wait for the device")
        # A view of pinned memory moves nothing; whatever reads or writes it does.
        if not self._link.cuda.copying and not func.is_view and any(self._link.is_pinned(each) for each in tensors):
            raise AssertionError(f"{name}: touches host memory, but not through the link")
        return func(*args, **(kwargs or {}))
