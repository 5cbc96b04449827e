"""The driver grants the least rights: what descriptors read cannot be written, and what they write cannot be read."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from hotline_device.device import Device
from hotline_device.host_memory import PAGE_BYTES, Region
from hotline_device.registry import open_device
from hotline_device.ring_entries import Descriptor
from hotline_host.driver import gathering, windows
from hotline_host.driver.driver import Driver
from hotline_hw.spec.descriptors import Flag, Opcode, Status
from hotline_hw.spec.params import preset
from hotline_hw.spec.shell_registers import WINDOWS, window_offset
from hotline_sim.model.device import ModelDevice
from tests.formal.mutants import mutated
from tests.support.driving import TINY, random_batch
from tests.support.tools import needs

READ, WRITE = 1, 2
ROW_BYTES = 32


class Recording(ModelDevice):
    """A device that keeps what every window has ever granted: (address, pages, rights), whenever rights are written."""

    def __init__(self) -> None:
        super().__init__(TINY)
        self.granted: set[tuple[int, int, int]] = set()

    def write(self, offset: int, value: int) -> None:
        super().write(offset, value)
        index, part = divmod(offset - window_offset(0), 16)
        if 0 <= index < WINDOWS and value and part == 12:
            low, high, pages = (self.read(window_offset(index) + at) for at in (0, 4, 8))
            self.granted.add((high << 32 | low, pages, value))


def everything(device: Device) -> Driver:
    """A driver that has done all that it can do."""
    rng = np.random.default_rng(1)
    tables = device.memory.allocate("tables", 3 * 40 * ROW_BYTES)
    target = device.memory.allocate("target", 4 * PAGE_BYTES)
    driver = Driver(device, timeout=60)
    for table in range(3):
        driver.set_table(table, tables.address + table * 40 * ROW_BYTES, 40, ROW_BYTES)
    driver.set_hot_rows(6)
    driver.learn([random_batch(rng, rows=8) for _ in range(4)])
    driver.select()
    driver.restore(driver.dump())
    driver.classify(random_batch(rng, rows=8), relearn=True)
    driver.gather(ROW_BYTES, target, keys=True)
    driver.gather_list(np.arange(5, dtype=np.uint64), ROW_BYTES, target)
    return driver


EXPECTED = {
    "descriptors": READ, "completions": WRITE, "sources": READ, "targets": WRITE, "tables": READ, "target": WRITE,
}  # fmt: skip


def rights_granted(device: Recording) -> dict[str, int]:
    """All rights that each region ever had. Raises AssertionError if a window is not the whole of one region."""
    found: dict[str, int] = {}
    for address, pages, rights in device.granted:
        (region,) = (each for each in device.memory.regions if each.address == address)
        assert pages * PAGE_BYTES == region.size, f"a window over more than {region.name}"
        found[region.name] = found.get(region.name, 0) | rights
    return found


def test_each_region_has_the_least_rights() -> None:
    with Recording() as device:
        everything(device)
        assert rights_granted(device) == EXPECTED


class _Windows(windows.Windows):
    """Grants more than it is asked for."""

    def expose(self, region: Region, *, read: bool = False, write: bool = False) -> None:
        super().expose(region, read=True, write=True)


@pytest.mark.parametrize("mutant", ["everything for writing", "tables for writing", "one window over all"])
def test_a_driver_that_grants_too_much_is_caught(mutant: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if mutant == "everything for writing":
        monkeypatch.setattr("hotline_host.driver.rings.Windows", _Windows)
    elif mutant == "tables for writing":
        broken = mutated(gathering.Gatherer, "expose(found[0], read=True)", "expose(found[0], read=True, write=True)")
        monkeypatch.setattr("hotline_host.driver.driver.Gatherer", broken)
    else:
        broken_windows = mutated(windows.Windows, "(extent.end - extent.begin) // PAGE_BYTES", "0xFFFF_FFFF")
        monkeypatch.setattr("hotline_host.driver.rings.Windows", broken_windows)
    with Recording() as device:
        everything(device)
        with pytest.raises(AssertionError):
            assert rights_granted(device) == EXPECTED


# The device itself refuses


@pytest.fixture(params=["model", pytest.param("verilated", marks=[needs("verilator"), pytest.mark.long])])
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    with open_device(request.param, preset("tiny")) as device:
        yield everything(device)


def test_the_device_refuses_what_was_not_granted(driver: Driver) -> None:
    """A descriptor that writes where the driver only lets it read ends with WINDOW, and the other way round."""
    regions = {region.name: region for region in driver.device.memory.regions}
    words = np.array([1 << 63], np.uint64)
    for name, rights in EXPECTED.items():
        region = regions[name]
        before = region.data.copy()
        source = driver._buffers.sources(8)[0]
        source.array(1, np.uint64)[:] = words
        into = Descriptor(
            opcode=Opcode.GATHER, flags=Flag.LIST, source=source.address, count=1, operand=16,
            targets=(region.address + region.size - PAGE_BYTES, 0, 0),
        )  # fmt: skip
        out_of = Descriptor(opcode=Opcode.LEARN, source=region.address + region.size - PAGE_BYTES, count=1)
        allowed = tuple(Status)
        wrote = driver.rings.run([into], allowed=allowed)[0]
        assert (wrote.status == Status.WINDOW) == (rights == READ), name
        if rights == READ and name not in ("descriptors", "sources"):
            assert np.array_equal(region.data, before), f"{name} was written"
        read = driver.rings.run([out_of], allowed=allowed)[0]
        assert (read.status == Status.WINDOW) == (rights == WRITE), name
