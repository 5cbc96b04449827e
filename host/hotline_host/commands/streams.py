"""Standard output and standard error: whatever they are, no command ends in a traceback because of them."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import suppress

__all__ = ["BROKEN_PIPE", "discard", "fail_output", "finish_streams", "prepare_streams", "say"]

BROKEN_PIPE = 128 + signal.SIGPIPE
"""The exit code of a program that SIGPIPE ended."""


def prepare_streams() -> None:
    """Makes both streams usable.

    A closed one is opened, as the next file that this process opens would otherwise become standard output. Characters
    that the terminal's encoding does not have are written as their numbers.
    """
    # A write to a closed standard output fails, as it should: there are results that nobody sees.
    for number, mode in ((0, os.O_RDONLY), (1, os.O_RDONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, mode)  # the lowest number that is free is this one
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="backslashreplace")


def say(message: str) -> None:
    """A line for the user on standard error. It is lost where nothing can be written there."""
    try:
        print(f"hotline: {message}", file=sys.stderr, flush=True)
    except OSError:
        discard(2)


def fail_output(error: OSError) -> int:
    """Ends standard output, which cannot be written. Returns the exit code, after a line for the user if there is
    something to say: `| head` has just seen enough."""
    discard(1)
    if isinstance(error, BrokenPipeError):
        return BROKEN_PIPE
    say(f"standard output: {error.strerror}")
    return 2


def finish_streams(code: int) -> int:
    """Writes what is left in both streams. Returns the exit code: `code`, or another if standard output failed."""
    try:
        sys.stdout.flush()
    except OSError as error:
        code = fail_output(error)
    try:
        sys.stderr.flush()
    except OSError:
        discard(2)
    return code


def discard(number: int) -> None:
    """What is still written to a stream goes nowhere; Python would try it again at exit, and complain."""
    with suppress(OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, number)
        os.close(null)
