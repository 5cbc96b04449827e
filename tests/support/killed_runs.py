"""Runs that may be killed: each in a process of its own, forked from one that has imported all that they need."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import sys
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path

__all__ = ["example", "hotline_command", "start"]

_LATER = ("hotline", "hotline_host.experiments.cosim", "torch._dynamo")
"""What a run imports when it comes to it; torch's optimizers need the last one."""


def start(log: Path, run: Callable[..., None], *arguments: object) -> BaseProcess:
    """Starts `run(*arguments)`, a function of a module. What it says goes to the file `log`.

    Importing torch and the rest takes most of the time of a short run, and is done once here.
    """
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["hotline_host.commands.main", "hotline_host.experiments.cosim", "hotline", __name__]
    )
    process = context.Process(target=_said_to, args=(log, run, *arguments), daemon=True)
    process.start()
    return process


def hotline_command(*arguments: str) -> None:
    """The command `hotline`."""
    from hotline_host.commands.entry import main

    sys.argv = ["hotline", *arguments]
    main()


def example(name: str, *arguments: object) -> None:
    """Calls `main` of an example."""
    runpy.run_path(str(Path(__file__).parents[2] / "examples" / f"{name}.py"))["main"](*arguments)


def _said_to(log: Path, run: Callable[..., None], *arguments: object) -> None:
    with log.open("w") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
        run(*arguments)
