"""Runs a function in several processes that torch.distributed joins, over gloo."""

from __future__ import annotations

import pickle
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .command import environment

__all__ = ["run_ranks", "start_command", "start_ranks"]

_PROGRAM = """
import pickle, sys
from datetime import timedelta
import torch, torch.distributed as dist
torch.set_num_threads(1)
folder, number, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
with open(folder + "/work", "rb") as file:
    work, arguments = pickle.load(file)
dist.init_process_group("gloo", f"file://{folder}/store", timedelta(seconds=60), rank=number, world_size=count)
result = work(*arguments)
with open(f"{folder}/result-{number}", "wb") as file:
    pickle.dump(result, file)
dist.barrier()
dist.destroy_process_group()
"""


def start_ranks(folder: Path, work: Callable[..., Any], count: int, *arguments: Any) -> list[subprocess.Popen[str]]:
    """Starts `work(*arguments)`, a function of a module, in each of `count` processes."""
    (folder / "work").write_bytes(pickle.dumps((work, arguments)))
    return [
        subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(folder), str(number), str(count)], text=True, stderr=subprocess.PIPE,
            env=environment(OMP_NUM_THREADS=1),
        )
        for number in range(count)
    ]  # fmt: skip


def start_command(count: int, *arguments: object, **variables: object) -> list[subprocess.Popen[str]]:
    """Starts `python -m hotline` as a launcher would, in each of `count` processes."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    return [
        subprocess.Popen(
            [sys.executable, "-m", "hotline", *map(str, arguments)], text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, stdin=subprocess.DEVNULL,
            env=environment(
                RANK=number, LOCAL_RANK=number, WORLD_SIZE=count, MASTER_ADDR="127.0.0.1", MASTER_PORT=port,
                OMP_NUM_THREADS=1, **variables,
            ),
        )
        for number in range(count)
    ]  # fmt: skip


def run_ranks(work: Callable[..., Any], count: int, *arguments: Any) -> list[Any]:
    """What `work` returns in each process."""
    with tempfile.TemporaryDirectory() as name:
        processes = start_ranks(Path(name), work, count, *arguments)
        try:
            errors = [process.communicate(timeout=300)[1] for process in processes]
        finally:
            for process in processes:
                process.kill()
        assert not any(process.returncode for process in processes), "\n".join(errors)
        return [pickle.loads((Path(name) / f"result-{number}").read_bytes()) for number in range(count)]
