"""Embedding rows in host memory: initial values, and tables in files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from hotline_device.host_memory import HostMemory
from hotline_host.training import initial_rows
from hotline_host.training.host_table import host_table, shared_table
from hotline_host.training.initial_rows import draw_rows

ROWS = np.array([5, 0, 1, 70_001])


def table(seed: int = 7, dtype: torch.dtype = torch.float32, width: int = 3, **where: Path) -> torch.Tensor:
    return host_table(ROWS, width, seed=seed, dtype=dtype, **where)


def test_initial_rows_come_from_the_seed_alone() -> None:
    torch.manual_seed(1)
    first = table()
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(first, table())
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(first.double(), table(dtype=torch.float64))
    assert not torch.equal(first, table(seed=8))


def test_they_depend_on_neither_threads_nor_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = table()
    monkeypatch.setattr(initial_rows, "_CHUNK", 1000)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    assert torch.equal(table(), expected)


def test_a_row_depends_on_its_table_and_number_alone() -> None:
    more = draw_rows(torch.empty(6 + 70_001, 3), np.array([5, 0, 1, 70_001]), seed=7)
    assert torch.equal(more, table())
    alone = draw_rows(torch.empty(5, 3), np.array([5]), seed=7)
    assert torch.equal(alone, table()[:5])


def test_they_are_uniform_within_their_bound() -> None:
    largest = table(width=16)[6:].flatten() * 70_001**0.5
    assert -1 <= largest.min() < -0.9999 and 0.9999 < largest.max() <= 1
    counts = torch.histc(largest, 64, -1, 1)
    expected = len(largest) / 64
    assert ((counts - expected) ** 2 / expected).sum() < 110  # chi squared of 63 degrees: 1 in 4,000
    assert abs(float((largest[1:] * largest[:-1]).mean())) < 0.002  # columns of a pair share a draw
    assert not torch.equal(largest[:48], largest[48:96])


def test_tables_in_a_file_and_in_shared_memory(tmp_path: Path) -> None:
    there = table(folder=tmp_path / "new")
    assert torch.equal(there, table()) and not [*tmp_path.rglob("*rows*")]
    there += 1
    memory = HostMemory()
    shared, region = shared_table(memory, ROWS, 3, seed=7, dtype=torch.float32, folder=tmp_path)
    assert torch.equal(shared, table()) and region.path.is_relative_to(tmp_path)
    memory.close()


LIMITED = """
import resource, sys
from pathlib import Path
import numpy as np, torch
from hotline_host.training.host_table import host_table
folder = Path(sys.argv[1]) if len(sys.argv) > 1 else None
host_table(np.array([10]), 16, seed=1, dtype=torch.float32)
used = int(Path("/proc/self/statm").read_text().split()[5]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_DATA, (used + (64 << 20),) * 2)
table = host_table(np.array([2_000_000]), 16, seed=1, dtype=torch.float32, folder=folder)
print(float(table[1_999_999, 15]))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="the limit is Linux's")
@pytest.mark.long
def test_a_table_in_a_file_may_exceed_memory(tmp_path: Path) -> None:
    """The table is twice as large as what the process may have."""
    run = [sys.executable, "-c", LIMITED]
    done = subprocess.run([*run, tmp_path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    expected = host_table(np.array([2_000_000]), 16, seed=1, dtype=torch.float32)[-1, -1]
    assert float(done.stdout) == float(expected)
    assert subprocess.run(run, capture_output=True).returncode != 0
