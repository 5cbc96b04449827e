"""Files that are mapped as memory: reserved at once, and removed after a kill."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hotline_device.host_memory import HostMemory
from hotline_device.memory_folder import MemoryFolder, map_file

CHILD = """
import sys, time
from pathlib import Path
from types import SimpleNamespace
from hotline_device.memory_folder import MemoryFolder, map_file
folder = MemoryFolder(Path(sys.argv[1]))
map_file(folder.path / "region", 4096, "region")
print(folder.path, flush=True)
time.sleep(60)
"""


def start(place: Path) -> tuple[subprocess.Popen, Path]:
    child = subprocess.Popen([sys.executable, "-c", CHILD, place], stdout=subprocess.PIPE, text=True)
    assert child.stdout is not None
    return child, Path(child.stdout.readline().strip())


def test_what_a_killed_process_leaves_is_removed_by_the_next(tmp_path: Path) -> None:
    killed, left = start(tmp_path)
    alive, kept = start(tmp_path)
    try:
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        assert (left / "region").exists()
        folder = MemoryFolder(tmp_path)
        assert not left.exists() and (kept / "region").exists() and folder.path.exists()
        folder.remove()
        assert not folder.path.exists()
    finally:
        for child in (killed, alive):
            child.kill()
            child.wait()


def test_space_is_reserved(tmp_path: Path) -> None:
    mapped = map_file(tmp_path / "file", 1 << 20, "region 'rows'")
    assert (tmp_path / "file").stat().st_blocks * 512 >= 1 << 20
    assert len(mapped) == 1 << 20 and not any(mapped[:4096])


def test_no_room_is_one_line_and_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "posix_fallocate", full)
    monkeypatch.setattr(os, "fstatvfs", lambda _: SimpleNamespace(f_bavail=64 << 10, f_frsize=1 << 10))
    memory = HostMemory()
    with pytest.raises(OSError, match=r"region 'tables' needs 6.4 GB, and 67.1 MB are free: '.*hotline-memory-"):
        memory.allocate("tables", 6_400_000_000, tmp_path)
    assert not memory.regions and not [*tmp_path.rglob("*tables")]
    memory.close()


def test_regions_in_a_folder(tmp_path: Path) -> None:
    memory = HostMemory()
    region, other = memory.allocate("tables", 1, tmp_path), memory.allocate("rings", 1)
    assert region.path.is_relative_to(tmp_path) and not other.path.is_relative_to(tmp_path)
    assert other.address > region.address
    region.data[0] = 3
    assert region.path.read_bytes()[0] == 3
    memory.close()
    assert not region.path.exists() and not other.path.exists()
