"""`XdmaDevice` on a card made of files: registers, interrupts and memory as two drivers offer them."""

from __future__ import annotations

import errno
import mmap
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from hotline_device.device import BusError, DeviceError, DeviceTimeout
from hotline_device.host_memory import PAGE_BYTES
from hotline_device.ring_entries import Completion, Descriptor
from hotline_device.xdma import BufferMemory, XdmaDevice
from hotline_device.xdma import device as xdma_device
from hotline_host.driver.rings import Rings
from hotline_hw.spec.descriptors import ENTRY_BYTES, Flag, Opcode, Status
from hotline_hw.spec.params import PRESETS
from hotline_hw.spec.regmap import ID_VALUE, REGISTERS, Access, Irq
from hotline_hw.spec.shell_registers import SHELL_REGISTERS, DmaIrq, window_offset
from hotline_hw.spec.words import TABLE_FIELD
from hotline_sim.model.device import ModelDevice
from tests.support.fake_card import (
    BUFFER_ADDRESS,
    BUFFER_BYTES,
    FakeCard,
    add_buffer,
    make_files,
    model_behind,
    options,
)

TINY = PRESETS["tiny"]
RING_LOG2 = 3


@pytest.fixture
def card(tmp_path):
    card = FakeCard(tmp_path, TINY)
    yield card
    card.close()


@pytest.fixture
def files(tmp_path) -> Path:
    """A card that has only an ID; nothing is behind it. The other end of the events is open."""
    make_files(tmp_path)
    _put(tmp_path, "ID", ID_VALUE)
    return tmp_path


@pytest.fixture
def events(files):
    descriptor = os.open(files / "dev/events", os.O_RDWR)
    yield lambda: os.write(descriptor, (1).to_bytes(4, "little"))
    os.close(descriptor)


def _offset(name: str) -> int:
    return next(one.offset for one in (*REGISTERS, *SHELL_REGISTERS) if one.name == name)


def _put(folder: Path, name: str, value: int) -> None:
    with (folder / "dev/user").open("r+b") as file:
        os.pwrite(file.fileno(), value.to_bytes(4, "little"), _offset(name))


def _get(folder: Path, name: str) -> int:
    data = (folder / "dev/user").read_bytes()
    return int.from_bytes(data[_offset(name) :][:4], "little")


def _write(device: XdmaDevice, **values: int) -> None:
    for name, value in values.items():
        device.write(_offset(name), value)


# Through files alone


@pytest.mark.parametrize("mapped", [True, False])
def test_descriptors_by_hand(card, tmp_path, mapped):
    """FENCE and GATHER, with one interrupt each. Only files are between host and card."""
    with XdmaDevice(TINY, mapped=mapped, **options(tmp_path)) as device:
        assert device.mapped == mapped
        region = device.memory.allocate("all", 4 * PAGE_BYTES)
        size = 1 << RING_LOG2
        entries = region.array((2 * size, ENTRY_BYTES // 4), np.uint32)
        low, high = region.address & 0xFFFF_FFFF, region.address >> 32
        _write(
            device, RING_LO=low, RING_HI=high, CPL_LO=low + size * ENTRY_BYTES, CPL_HI=high, RING_SIZE=RING_LOG2,
            DMA_IRQ_ENABLE=DmaIrq.COMPLETION, TABLE_INDEX=1, TABLE_LO=low + 2 * PAGE_BYTES, TABLE_HI=high,
            TABLE_ROWS=64, TABLE_STRIDE=4,
        )  # fmt: skip
        for place, value in enumerate((low, high, 4, 3)):
            device.write(window_offset(0) + 4 * place, value)
        _write(device, DMA_CONTROL=1)
        rows = region.array((64, 16), np.float32, 2 * PAGE_BYTES)
        rows[:] = np.arange(64 * 16).reshape(64, 16)
        wanted = np.array([3, 63, 0], np.uint64)
        region.array(3, np.uint64, PAGE_BYTES)[:] = wanted | np.uint64(1 << TABLE_FIELD.low)
        descriptors = [
            Descriptor(opcode=Opcode.FENCE, flags=Flag.INTERRUPT, tag=7),
            Descriptor(
                opcode=Opcode.GATHER, flags=Flag.LIST | Flag.INTERRUPT, tag=8, source=region.address + PAGE_BYTES,
                count=3, operand=64, targets=(region.address + 3 * PAGE_BYTES, 0, 0),
            ),
        ]  # fmt: skip
        assert not device.wait_irq(0)
        for place, descriptor in enumerate(descriptors):
            entries[place] = descriptor.pack()
            _write(device, RING_PRODUCER=place + 1)
            assert device.wait_irq(10)
            completion = Completion.unpack(entries[size + place])
            assert (completion.tag, completion.status) == (descriptor.tag, Status.OK)
            _write(device, CPL_CONSUMER=place + 1, DMA_IRQ_STATUS=DmaIrq.COMPLETION)
            end = time.monotonic() + 10
            while device.wait_irq(0):
                assert time.monotonic() < end, "irq stays high"
        np.testing.assert_array_equal(region.array((3, 16), np.float32, 3 * PAGE_BYTES), rows[[3, 63, 0]])
    assert _get(tmp_path, "DMA_CONTROL") == 0  # closing stopped it


# With registers that act


class _ModelRegisters:
    """Replaces `RegisterFile`: accesses reach a model at once, and a rise of irq makes an event."""

    def __init__(self, path: Path, *, mapped: bool = True) -> None:
        folder = path.parents[1]
        self.path, self.mapped = path, mapped
        self.model = model_behind(folder, TINY)
        self._events = os.open(folder / "dev/events", os.O_RDWR)

    def read(self, offset: int) -> int:
        return self.model.read(offset)

    def write(self, offset: int, value: int) -> None:
        before = self.model.irq
        self.model.write(offset, value)
        if self.model.irq and not before:
            os.write(self._events, (1).to_bytes(4, "little"))

    def close(self) -> None:
        if self._events >= 0:
            os.close(self._events)
        self._events = -1


class _SlowRegisters(_ModelRegisters):
    """The work of each doorbell is done a while later, one after another."""

    def __init__(self, path: Path, *, mapped: bool = True) -> None:
        super().__init__(path, mapped=mapped)
        self._pool = ThreadPoolExecutor(1)

    def write(self, offset: int, value: int) -> None:
        if offset == _offset("RING_PRODUCER"):
            self._pool.submit(time.sleep, 0.01)
            self._pool.submit(super().write, offset, value)
        else:
            super().write(offset, value)

    def close(self) -> None:
        self._pool.shutdown()
        super().close()


def test_rings(tmp_path, monkeypatch):
    """The driver's rings, with interrupts."""
    make_files(tmp_path)
    monkeypatch.setattr(xdma_device, "RegisterFile", _SlowRegisters)
    with XdmaDevice(TINY, **options(tmp_path)) as device:
        rings = Rings(device, timeout=10)
        data = device.memory.allocate("data", 3 * PAGE_BYTES)
        rings.windows.expose(data, read=True, write=True)
        low, high = data.address & 0xFFFF_FFFF, data.address >> 32
        _write(device, TABLE_INDEX=0, TABLE_LO=low + PAGE_BYTES, TABLE_HI=high, TABLE_ROWS=32, TABLE_STRIDE=1)
        rows = data.array((32, 4), np.float32, PAGE_BYTES)
        rows[:] = np.arange(128).reshape(32, 4)
        for turn in range(10):
            wanted = (np.arange(5, dtype=np.uint64) * np.uint64(7) + np.uint64(turn)) % np.uint64(32)
            data.array(5, np.uint64)[:] = wanted
            done = rings.run([
                Descriptor(opcode=Opcode.FENCE),
                Descriptor(opcode=Opcode.GATHER, flags=Flag.LIST, source=data.address, count=5, operand=16,
                           targets=(data.address + 2 * PAGE_BYTES, 0, 0)),
            ])  # fmt: skip
            assert done[1].listed == 5
            np.testing.assert_array_equal(data.array((5, 4), np.float32, 2 * PAGE_BYTES), rows[wanted.astype(int)])
        assert rings.statistics.completions == 20 and rings.statistics.interrupts >= 10


def test_reset_is_as_new(tmp_path, monkeypatch):
    """Afterwards every register is that of a new device, and descriptors find no table and no window."""
    make_files(tmp_path)
    monkeypatch.setattr(xdma_device, "RegisterFile", _ModelRegisters)
    with XdmaDevice(None, **options(tmp_path)) as device, ModelDevice(TINY) as fresh:
        model = device._registers.model
        rings = Rings(device, timeout=10)
        _write(device, TABLE_INDEX=9, TABLE_LO=BUFFER_ADDRESS & 0xFFFF_FFFF, TABLE_HI=1, TABLE_ROWS=8, TABLE_STRIDE=1)
        words = device.memory.allocate("words", PAGE_BYTES)
        words.array(4, np.uint64)[:] = [5, 1 << 63 | 6, 7, 1 << 63 | 8]
        rings.windows.expose(words, read=True)
        rings.run([Descriptor(opcode=Opcode.LEARN, source=words.address, count=4)])
        _write(device, HOT_ROWS=3, AGE_PERIOD=1, MOVE_LIMIT=2, WEIGHTS_0=0, IRQ_ENABLE=7, COMMAND=99, SELECT_START=4)
        rings.submit(Descriptor(opcode=Opcode.FENCE))
        _write(device, RING_SIZE=1, COMMAND=4, DMA_COMMAND=1)
        assert model.irq and model.descriptors.tables and device.read(_offset("ERROR"))
        device.reset()
        for one in (*REGISTERS, *SHELL_REGISTERS):
            if one.access != Access.WO:
                assert device.read(one.offset) == fresh.read(one.offset), one.name
        assert not model.descriptors.tables and not model.irq
        assert not any(window.read or window.write for window in model.windows)


# Registers


def test_registers_that_are_not_there(files):
    with XdmaDevice(**options(files)) as device:
        _write(device, DMA_DELAY=5)
        assert device.read(_offset("DMA_DELAY")) == _get(files, "DMA_DELAY") == 5
        for access in (lambda: device.read(0x1F00), lambda: device.write(0xFFC, 1), lambda: device.write(0, 1)):
            with pytest.raises(BusError, match="SLVERR: no such register"):
                access()
        with pytest.raises(BusError, match="address space has 13 bits"):
            device.read(0x2000)
        with pytest.raises(ValueError, match="does not fit"):
            device.write(_offset("DMA_DELAY"), 1 << 32)


def test_driver_that_cannot_map(files, monkeypatch):
    real = mmap.mmap

    def refuse(descriptor: int, size: int) -> mmap.mmap:
        if size == 0x2000:
            raise OSError(errno.ENODEV, "No such device")
        return real(descriptor, size)

    monkeypatch.setattr(mmap, "mmap", refuse)
    with XdmaDevice(**options(files)) as device:
        assert not device.mapped
        _write(device, DMA_DELAY=0x12345678)
        assert device.read(_offset("DMA_DELAY")) == _get(files, "DMA_DELAY") == 0x12345678


@pytest.mark.parametrize("mapped", [True, False])
def test_bar_that_is_too_small(files, mapped):
    os.truncate(files / "dev/user", 4096)
    with pytest.raises(DeviceError, match="does not have the 8192 bytes .* a BAR of 8 KiB or more"):
        XdmaDevice(mapped=mapped, **options(files))


def test_two_that_drive_one_card(files):
    """As two trainers would, in one process or in two."""
    with XdmaDevice(**options(files)):
        with pytest.raises(DeviceError, match="user: the card is in use, .* end or close the other"):
            XdmaDevice(**options(files))
    XdmaDevice(**options(files)).close()


def test_something_else_behind_the_file(files):
    for value, why in ((0xFFFF_FFFF, "nobody answers on PCIe"), (1, "something else is behind this file")):
        _put(files, "ID", value)
        with pytest.raises(DeviceError, match=f"user reads 0x.* 0x484f544c, should be: {why}. Load the accelerator's"):
            XdmaDevice(**options(files))


def test_card_of_another_geometry(card, tmp_path):
    XdmaDevice(None, **options(tmp_path)).close()
    with pytest.raises(DeviceError, match=r"the card has lanes=2 \(CAP_STREAM\), and geometry edge has 4: load that"):
        XdmaDevice(PRESETS["edge"], **options(tmp_path))
    with pytest.raises(DeviceError, match=r"working_rows=32 \(CAP_WORKING\), and geometry tiny-custom has 64"):
        XdmaDevice(TINY.override({"working_rows": 64}), **options(tmp_path))
    with pytest.raises(DeviceError, match="has no AXI manager"):
        XdmaDevice(TINY.stream_core(), **options(tmp_path))


def test_card_that_vanishes(files):
    with XdmaDevice(**options(files)) as device:
        _write(device, DMA_DELAY=0xFFFF_FFFF)
        assert device.read(_offset("DMA_DELAY")) == 0xFFFF_FFFF
        _put(files, "ID", 0xFFFF_FFFF)
        with pytest.raises(DeviceError, match="read of offset 0x1040: the card does not answer any more"):
            device.read(_offset("DMA_DELAY"))


def test_card_that_does_not_stop(files):
    _put(files, "DMA_STATUS", 4)
    device = XdmaDevice(timeout=0.05, **options(files))
    with pytest.raises(DeviceTimeout, match=r"DMA_STATUS.writing of the card was still 1 after 0.05 s"):
        device.reset()
    device.close()


# Interrupts


def test_level_and_events(files, events, monkeypatch):
    """The level counts. Events only wake: stale ones do not count, and none has to come."""
    with XdmaDevice(**options(files)) as device:
        events()
        begin = time.monotonic()
        assert device.wait_irq(0.2) is False
        assert time.monotonic() - begin >= 0.2
        _put(files, "IRQ_STATUS", Irq.COMMAND_DONE)
        assert not device.wait_irq(0)  # not enabled
        _write(device, IRQ_ENABLE=Irq.COMMAND_DONE)
        assert device.wait_irq(0) and device.wait_irq()
        _put(files, "IRQ_STATUS", 0)
        threading.Timer(0.1, lambda: (_put(files, "DMA_IRQ_STATUS", 1), events())).start()
        _write(device, DMA_IRQ_ENABLE=1)
        monkeypatch.setattr(xdma_device, "_LOOK", 3600.0)
        assert device.wait_irq(), "by the event, as the next look is an hour later"


def test_event_that_is_lost(files, events):
    with XdmaDevice(**options(files)) as device:
        _write(device, DMA_IRQ_ENABLE=1)
        threading.Timer(0.1, _put, (files, "DMA_IRQ_STATUS", 1)).start()
        assert device.wait_irq(30)


def test_several_wait(files, events):
    """An event wakes all waiting threads, whichever takes it. Closing wakes them too."""
    with XdmaDevice(**options(files)) as device:
        _write(device, DMA_IRQ_ENABLE=1)
        results: list[bool | str] = []

        def wait() -> None:
            try:
                results.append(device.wait_irq(30))
            except DeviceError as error:
                results.append(str(error))

        threads = [threading.Thread(target=wait) for _ in range(3)]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        events()  # an event without a cause
        time.sleep(0.1)
        assert not results
        _put(files, "DMA_IRQ_STATUS", 1)
        events()
        for thread in threads:
            thread.join()
        assert results == [True] * 3
        _put(files, "DMA_IRQ_STATUS", 0)
        results.clear()
        threads = [threading.Thread(target=wait) for _ in range(2)]
        for thread in threads:
            thread.start()
        time.sleep(0.1)
        device.close()
        for thread in threads:
            thread.join()
        assert results == ["the device was closed; open another one"] * 2


def test_driver_that_is_unloaded(files):
    other_end = os.open(files / "dev/events", os.O_RDWR)
    with XdmaDevice(**options(files)) as device:
        threading.Timer(0.1, os.close, (other_end,)).start()
        with pytest.raises(DeviceError, match="events reports an error: the driver was unloaded, or the card is gone"):
            device.wait_irq(10)


def test_closed(files):
    device = XdmaDevice(**options(files))
    device.close()
    device.close()
    calls = (lambda: device.read(0), lambda: device.write(0x40, 1), lambda: device.wait_irq(1), device.reset)
    for call in calls:
        with pytest.raises(DeviceError, match="the device was closed; open another one"):
            call()


# What is lacking


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("dev/user", "user, the accelerator's registers, cannot be opened: No such file.*insmod xdma.ko.*lspci"),
        ("dev/events", "events, the accelerator's interrupts, cannot be opened: No such file.*usr_irq_req"),
        ("dev/udmabuf0", "udmabuf0, memory that is shared .*No such file.*modprobe u-dma-buf udmabuf0=1073741824"),
        ("sys/udmabuf0/size", "size, the size of .*udmabuf0, cannot be opened: No such file.*modprobe u-dma-buf"),
        ("sys/udmabuf0/phys_addr", "phys_addr, the bus address of .*udmabuf0, cannot be opened: No such file"),
    ],
)
def test_missing_files(files, missing, message):
    (files / missing).unlink()
    before = len(os.listdir("/proc/self/fd"))
    with pytest.raises(DeviceError, match=message):
        XdmaDevice(**options(files))
    assert len(os.listdir("/proc/self/fd")) == before


def test_file_without_the_right(files, monkeypatch):
    def refuse(path: Path, flags: int) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(DeviceError, match=r"user, .* cannot be opened: Permission denied\. .*udev rule"):
        XdmaDevice(**options(files))


# Memory


def test_regions(files):
    add_buffer(files, "udmabuf1", 0x8000_0800, 5 * PAGE_BYTES)  # of which four are whole pages
    memory = BufferMemory([files / "dev/udmabuf1", files / "dev/udmabuf0"], sysfs=files / "sys")
    first = memory.allocate("first", PAGE_BYTES + 1)
    assert (first.address, first.size) == (0x8000_1000, 2 * PAGE_BYTES)
    assert not first.data.any()
    large = memory.allocate("large", 3 * PAGE_BYTES)  # does not fit any more, so it goes to the other buffer
    assert large.address == BUFFER_ADDRESS and large.path.name == "udmabuf0"
    last = memory.allocate("last", 2 * PAGE_BYTES)
    assert last.address == first.address + first.size
    assert [region.name for region in memory.regions] == ["first", "last", "large"]
    assert memory.find(last.address + 5, 8) == (last, 5)
    assert memory.find(first.address + first.size - 4, 8) is None
    last.array(3, np.uint32, 4)[:] = 9
    data = (files / "dev/udmabuf1").read_bytes()
    assert data[last.address - 0x8000_0800 :][:16] == bytes(4) + (9).to_bytes(4, "little") * 3
    left = BUFFER_BYTES - 3 * PAGE_BYTES
    with pytest.raises(
        DeviceError,
        match=f"region 'more' of {BUFFER_BYTES} bytes does not fit: .*udmabuf1 has 0 of 16384 bytes left, .*udmabuf0 "
        f"has {left} of {BUFFER_BYTES} bytes left. Load u-dma-buf with a larger buffer: .*modprobe u-dma-buf udmabuf1=",
    ):
        memory.allocate("more", BUFFER_BYTES)
    assert memory.allocate("rest", left).size == left
    with pytest.raises(ValueError, match="region 'none' of 0 bytes: the size must be positive"):
        memory.allocate("none", 0)


def test_buffers_that_are_none(files):
    with pytest.raises(ValueError, match="buffers is empty"):
        BufferMemory([], sysfs=files / "sys")
    buffers, sysfs = [files / "dev/udmabuf0"], files / "sys"
    (sysfs / "udmabuf0/size").write_text(f"{2 * BUFFER_BYTES}\n")
    with pytest.raises(DeviceError, match=f"udmabuf0 cannot be mapped: .*Its {2 * BUFFER_BYTES} bytes"):
        BufferMemory(buffers, sysfs=sysfs)
    (sysfs / "udmabuf0/size").write_text("100\n")
    with pytest.raises(DeviceError, match="has 100 bytes at 0x123400000, not a page of 4096"):
        BufferMemory(buffers, sysfs=sysfs)
    (sysfs / "udmabuf0/size").write_text("many\n")
    with pytest.raises(DeviceError, match="size, the size of .*, holds 'many' and not a number"):
        BufferMemory(buffers, sysfs=sysfs)
