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


@pytest.mark.parametrize("size", [0, -1])
def test_empty_region(size):
    memory = HostMemory()
    with pytest.raises(ValueError, match=f"region 'x' of {size} bytes: the size must be positive"):
        memory.allocate("x", size)
    memory.close()
