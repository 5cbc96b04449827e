"""The way between host and device memory. Copies run beside the computation where the device is a GPU.

    step             i                       i + 1
    copying in       | half of i + 1         | half of i + 2
    computing        | moves i | step i      | moves i + 1 | step i + 1
    copying out      |         half of i - 1 |             half of i

A half takes the rows of mini-batch i + 2 once those of i have been copied out, and once those of i + 1 that came from
them have moved. Nothing here waits for the device but `sent` and `returned`, which run beside the steps.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

import torch
from torch import Tensor

__all__ = ["HostLink", "Link", "link_to"]


class Link(ABC):
    """Orders the work of two mini-batches that are in flight.

    Attributes:
        shares_memory: device memory is host memory. Nothing counts as copied over the link then.
        bytes_in, bytes_out: copied to the device, and back, so far.
    """

    shares_memory = False
    bytes_in = 0
    bytes_out = 0

    @abstractmethod
    def host_buffer(self, *shape: int, dtype: torch.dtype) -> Tensor:
        """Host memory that the device's copies can reach without waiting."""

    @abstractmethod
    def adopt(self, tensor: Tensor) -> None:
        """Makes memory that somebody else allocated such memory."""

    @abstractmethod
    def device_buffer(self, host: Tensor) -> Tensor:
        """Device memory as large as a host buffer. On a CPU it is the same memory."""

    @abstractmethod
    def copying_in(self, half: int) -> AbstractContextManager[None]:
        """What is in the block writes a half and the inputs of its step."""

    @abstractmethod
    def computing(self, half: int) -> AbstractContextManager[None]:
        """What is in the block follows what was copied in for the half."""

    @abstractmethod
    def moved(self, half: int) -> None:
        """Inside `computing`: rows have left the other half, which may be written from now on."""

    @abstractmethod
    def copying_out(self, half: int) -> AbstractContextManager[None]:
        """What is in the block follows the computation on the half."""

    @abstractmethod
    def sent(self, half: int) -> None:
        """Returns when what was last copied in for the half has left host memory."""

    @abstractmethod
    def returned(self, half: int) -> None:
        """Returns when what was last copied out of the half has arrived."""

    @abstractmethod
    def synchronize(self) -> None:
        """Returns when the device has nothing left to do."""

    def close(self) -> None:
        """Returns when the device has nothing left to do, and gives up what was adopted."""
        self.synchronize()

    def copy_in(self, target: Tensor, source: Tensor) -> None:
        """Copies a host buffer to the device, unless it is the same memory. The caller does not wait."""
        if target.data_ptr() != source.data_ptr():
            self.bytes_in += 0 if self.shares_memory else source.nbytes
            target.copy_(source, non_blocking=True)

    def copy_out(self, target: Tensor, source: Tensor) -> None:
        """Copies device memory to a host buffer, unless it is the same memory. The caller does not wait."""
        if target.data_ptr() != source.data_ptr():
            self.bytes_out += 0 if self.shares_memory else source.nbytes
            target.copy_(source, non_blocking=True)


class HostLink(Link):
    """The device is the host. Everything happens at once, in the order of the calls."""

    shares_memory = True

    def host_buffer(self, *shape: int, dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype)

    def adopt(self, tensor: Tensor) -> None:
        pass

    def device_buffer(self, host: Tensor) -> Tensor:
        return host

    def copying_in(self, half: int) -> AbstractContextManager[None]:
        return nullcontext()

    def computing(self, half: int) -> AbstractContextManager[None]:
        return nullcontext()

    def moved(self, half: int) -> None:
        pass

    def copying_out(self, half: int) -> AbstractContextManager[None]:
        return nullcontext()

    def sent(self, half: int) -> None:
        pass

    def returned(self, half: int) -> None:
        pass

    def synchronize(self) -> None:
        pass


class CudaLink(Link):
    """A GPU: one stream for each direction, one for the computation, events between them, pinned host memory."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        # The events of each half; waiting for one that was never recorded does nothing.
        self._in, self._compute, self._out = (torch.cuda.Stream(device) for _ in range(3))
        self._computed, self._moved = ([torch.cuda.Event() for _ in range(2)] for _ in range(2))
        # A thread waits for these; it leaves its core to others meanwhile.
        self._copied, self._returned = ([torch.cuda.Event(blocking=True) for _ in range(2)] for _ in range(2))
        self._adopted: list[Tensor] = []

    def host_buffer(self, *shape: int, dtype: torch.dtype) -> Tensor:
        return torch.empty(shape, dtype=dtype, pin_memory=True)

    def adopt(self, tensor: Tensor) -> None:
        if tensor.nbytes and not tensor.is_pinned():
            code = torch.cuda.cudart().cudaHostRegister(tensor.data_ptr(), tensor.nbytes, 0)
            if int(code):
                raise RuntimeError(
                    f"CUDA cannot pin {tensor.nbytes / 1e9:.1f} GB of host memory (error {int(code)}); lower the rows "
                    "of the tables, or raise the limit on locked memory (ulimit -l)"
                )
            self._adopted.append(tensor)

    def device_buffer(self, host: Tensor) -> Tensor:
        return torch.empty(host.shape, dtype=host.dtype, device=self._device)

    @contextmanager
    def copying_in(self, half: int) -> Iterator[None]:
        with torch.cuda.stream(self._in):
            self._in.wait_event(self._returned[half])
            self._in.wait_event(self._moved[1 - half])  # recorded by the mini-batch before, whose half is the other
            yield
            self._copied[half].record(self._in)

    @contextmanager
    def computing(self, half: int) -> Iterator[None]:
        # In order with what the caller does on its own stream: it may write a learning rate, or read a parameter.
        caller = torch.cuda.current_stream(self._device)
        self._compute.wait_stream(caller)
        with torch.cuda.stream(self._compute):
            self._compute.wait_event(self._copied[half])
            yield
            self._computed[half].record(self._compute)
        caller.wait_stream(self._compute)

    def moved(self, half: int) -> None:
        self._moved[half].record(self._compute)

    @contextmanager
    def copying_out(self, half: int) -> Iterator[None]:
        with torch.cuda.stream(self._out):
            self._out.wait_event(self._computed[half])
            yield
            self._returned[half].record(self._out)

    def sent(self, half: int) -> None:
        self._copied[half].synchronize()

    def returned(self, half: int) -> None:
        self._returned[half].synchronize()

    def synchronize(self) -> None:
        torch.cuda.synchronize(self._device)

    def close(self) -> None:
        super().close()
        while self._adopted:
            torch.cuda.cudart().cudaHostUnregister(self._adopted.pop().data_ptr())


def link_to(device: torch.device) -> Link:
    """The link between the host and a device."""
    return CudaLink(device) if device.type == "cuda" else HostLink()
