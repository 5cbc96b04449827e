"""Memory that host and device share."""

from __future__ import annotations

import mmap

import numpy as np
import pytest

from hotline_device.host_memory import BASE_ADDRESS, PAGE_BYTES, HostMemory


def test_regions():
    memory = HostMemory()
    first, second = memory.allocate("a", 1), memory.allocate("b", PAGE_BYTES + 1)
    assert (first.address, first.size, second.size) == (BASE_ADDRESS, PAGE_BYTES, 2 * PAGE_BYTES)
    assert second.address > first.address + first.size and second.address % PAGE_BYTES == 0
    assert not second.data.any() and memory.regions == [first, second]
    assert memory.find(second.address + 5, 10) == (second, 5)
    assert memory.find(first.address, PAGE_BYTES) == (first, 0)
    for address, size in ((first.address + 1, PAGE_BYTES), (first.address - 1, 1), (second.address + second.size, 1)):
        assert memory.find(address, size) is None
    memory.close()


def test_views_and_files_are_the_same_bytes():
    memory = HostMemory()
    region = memory.allocate("table", PAGE_BYTES)
    region.array((4, 8), np.float32, 64)[2, 3] = 1.5
    with region.path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        assert np.frombuffer(mapped[64 + 4 * 19 : 64 + 4 * 20], np.float32)[0] == 1.5
        mapped[0] = 7
    assert region.data[0] == 7
    memory.close()
    assert not region.path.exists() and region.data[0] == 7


def test_regions_at_addresses():
    memory = HostMemory()
    top, across = (1 << 64) - 2 * PAGE_BYTES, (5 << 32) - PAGE_BYTES
    regions = [
        memory.allocate("top", 5000, at=top),
        memory.allocate("across", 5000, at=across),
        memory.allocate("a", 1),
    ]
    assert [region.address for region in regions] == [top, across, BASE_ADDRESS] and memory.regions == regions
    assert memory.find((1 << 64) - 1) == (regions[0], 2 * PAGE_BYTES - 1) and memory.find((1 << 64) - 1, 2) is None
    for at, message in (
        (across + 1, "must be a multiple of 4096"), (top + PAGE_BYTES, "end within 64 bits"), (-PAGE_BYTES, "within"),
        (across - PAGE_BYTES, "region 'b' at 0x4ffffe000 overlaps 'across' at 0x4fffff000"), (BASE_ADDRESS, "overlaps"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            memory.allocate("b", 2 * PAGE_BYTES, at=at)
    memory.close()


@pytest.mark.parametrize("size", [0, -1])
def test_empty_region(size):
    memory = HostMemory()
    with pytest.raises(ValueError, match=f"region 'x' of {size} bytes: the size must be positive"):
        memory.allocate("x", size)
    memory.close()
