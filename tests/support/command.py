"""Runs the `hotline` command as a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

__all__ = ["COMMAND", "environment", "run", "start"]

COMMAND = (sys.executable, "-c", "from hotline_host.commands.entry import main; main()")


def environment(**variables: object) -> dict[str, str]:
    """The environment of this process, with the modules that this process finds."""
    return (
        os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)} | {name: str(value) for name, value in variables.items()}
    )


def start(*arguments: object, **options: Any) -> subprocess.Popen[str]:
    """Starts the command. The options are those of Popen."""
    pipes = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "env": environment()}
    return subprocess.Popen([*COMMAND, *map(str, arguments)], text=True, **(pipes | options))


def run(*arguments: object, **options: Any) -> tuple[int, str, str]:
    """Returns exit code, standard output and standard error."""
    process = start(*arguments, **options)
    output, errors = process.communicate(timeout=300)
    return process.returncode, output or "", errors or ""
