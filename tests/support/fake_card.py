"""A card made of files, for tests of the `xdma` backend: a folder with what the XDMA driver and u-dma-buf offer.

The golden model is behind the files. `FakeCard` communicates through the files alone, so it sees the registers'
values, not accesses: a write counts only if it changes a value.
"""

from __future__ import annotations

import mmap
import os
import threading
import time
from pathlib import Path

import numpy as np

from hotline_device.host_memory import HostMemory, Region
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import REGISTERS, Access
from hotline_hw.spec.shell_registers import DEVICE_ADDRESS_BITS, SHELL_REGISTERS, DmaIrq
from hotline_sim.model.device import ModelDevice

__all__ = ["BUFFER_ADDRESS", "BUFFER_BYTES", "FakeCard", "make_files", "model_behind", "options"]

BUFFER_ADDRESS, BUFFER_BYTES = 0x1_2340_0000, 1 << 20
_STALE = 1 << 31  # set with a cause that the host has not cleared yet, so that its write of the cause alone is a change
_OFFSETS = {register.name: register.offset for register in (*REGISTERS, *SHELL_REGISTERS)}
_PLACES = ("RING_LO", "RING_HI", "CPL_LO", "CPL_HI", "RING_SIZE")
_TABLE = ("TABLE_INDEX", "TABLE_LO", "TABLE_HI", "TABLE_ROWS", "TABLE_STRIDE")


def make_files(folder: Path) -> None:
    """Makes all files. The registers are zero."""
    (folder / "dev").mkdir()
    (folder / "dev/user").write_bytes(bytes(1 << DEVICE_ADDRESS_BITS))
    os.mkfifo(folder / "dev/events")
    add_buffer(folder, "udmabuf0", BUFFER_ADDRESS, BUFFER_BYTES)


def add_buffer(folder: Path, name: str, address: int, size: int) -> None:
    (folder / "dev" / name).write_bytes(b"\x5a" * size)  # as if someone had used it before
    (folder / "sys" / name).mkdir(parents=True)
    (folder / "sys" / name / "size").write_text(f"{size}\n")
    (folder / "sys" / name / "phys_addr").write_text(f"{address:#018x}\n")


def options(folder: Path) -> dict:
    """The options that `XdmaDevice` needs."""
    return {
        "registers": folder / "dev/user", "events": folder / "dev/events", "buffers": [folder / "dev/udmabuf0"],
        "sysfs": folder / "sys",
    }  # fmt: skip


class _BufferOfFile(HostMemory):
    """The buffer as the card sees it."""

    def __init__(self, path: Path) -> None:
        with path.open("r+b") as file:
            mapped = mmap.mmap(file.fileno(), 0)
        self.regions = [Region("buffer", BUFFER_ADDRESS, np.frombuffer(mapped, np.uint8), path)]

    def close(self) -> None:
        pass


def model_behind(folder: Path, geometry: Geometry) -> ModelDevice:
    """A model whose memory is the buffer's file."""
    model = ModelDevice(geometry)
    model.memory.close()
    model.memory = _BufferOfFile(folder / "dev/udmabuf0")
    model.reset()
    return model


class FakeCard:
    """Carries out what the register file asks for, in a thread, until `close`.

    It reads the windows and one table when the doorbell is rung.
    """

    def __init__(self, folder: Path, geometry: Geometry) -> None:
        make_files(folder)
        self.model = model_behind(folder, geometry)
        with (folder / "dev/user").open("r+b") as file:
            self._words = np.frombuffer(mmap.mmap(file.fileno(), 0), np.uint32)
        self._events = os.open(folder / "dev/events", os.O_RDWR)
        self._producer = self._consumer = 0  # the last values seen
        self._enabled = False
        for register in (*REGISTERS, *SHELL_REGISTERS):
            if register.access != Access.WO:
                self._set(register.name, self.model.read(register.offset))
        self._ends = threading.Event()
        self.failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def interrupt(self) -> None:
        """Makes an event, whatever the level of irq."""
        os.write(self._events, (1).to_bytes(4, "little"))

    def close(self) -> None:
        self._ends.set()
        self._thread.join()
        os.close(self._events)
        if self.failure:
            raise self.failure

    def _run(self) -> None:
        try:
            while not self._ends.is_set():
                self._look()
                time.sleep(0.0002)
        except BaseException as error:
            self.failure = error

    def _look(self) -> None:
        if not self._get("DMA_CONTROL"):
            if self._enabled:
                self._enabled = False
                self.model.write(_OFFSETS["DMA_CONTROL"], 0)
                self._producer = self._consumer = 0
                for name in ("RING_PRODUCER", "CPL_CONSUMER", "RING_CONSUMER", "CPL_PRODUCER"):
                    self._set(name, 0)
            return
        if self._get("DMA_IRQ_STATUS") == DmaIrq.COMPLETION:  # the host wrote it
            self._copy("DMA_IRQ_STATUS")
            self._set("DMA_IRQ_STATUS", 0)
        if self._get("CPL_CONSUMER") != self._consumer:
            self._consumer = self._get("CPL_CONSUMER")
            self._copy("CPL_CONSUMER")
        if self._get("RING_PRODUCER") != self._producer:
            self._producer = self._get("RING_PRODUCER")
            self._configure()
            self._copy("RING_PRODUCER")
            for name in ("RING_CONSUMER", "CPL_PRODUCER"):
                self._set(name, self.model.read(_OFFSETS[name]))
            if self.model.irq:
                self._set("DMA_IRQ_STATUS", self.model.read(_OFFSETS["DMA_IRQ_STATUS"]) | _STALE)
                self.interrupt()

    def _configure(self) -> None:
        windows = [name for name in _OFFSETS if name.startswith("WINDOW_")]
        for name in (*([] if self._enabled else _PLACES), *windows, *_TABLE, "DMA_IRQ_ENABLE", "DMA_CONTROL"):
            self._copy(name)
        self._enabled = True

    def _copy(self, name: str) -> None:
        self.model.write(_OFFSETS[name], self._get(name))

    def _get(self, name: str) -> int:
        return int(self._words[_OFFSETS[name] // 4])

    def _set(self, name: str, value: int) -> None:
        self._words[_OFFSETS[name] // 4] = value
