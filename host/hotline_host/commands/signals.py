"""Signals that end a command: Ctrl-C, SIGTERM and SIGHUP all become one exception, so that everything is cleaned up.

This module is imported before anything that takes time to import.
"""

from __future__ import annotations

import os
import signal
from threading import Timer
from time import monotonic
from types import FrameType

__all__ = ["Ended", "exit_code", "finish_starting", "handle_signals", "received"]

_WORDS = {signal.SIGINT: "interrupted", signal.SIGTERM: "terminated", signal.SIGHUP: "hung up"}
_REPEAT_SECONDS = 1.0
_RETRY_SECONDS = 0.02

_first: tuple[int, float] | None = None
_starting = True


class Ended(BaseException):
    """A signal has come. Only cleaning up is left to do."""


def handle_signals() -> None:
    """From now on a signal ends this process with one line. A signal that is ignored (nohup) stays ignored."""
    for number in _WORDS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _end)


def finish_starting() -> None:
    """From now on a signal raises Ended. Before, there was nothing to clean up."""
    global _starting
    _starting = False


def received() -> str | None:
    """What came first, in words; None: nothing came."""
    return _WORDS[signal.Signals(_first[0])] if _first else None


def exit_code() -> int:
    """Of a process that a signal ended; 130 is Ctrl-C."""
    return 128 + (_first[0] if _first else signal.SIGINT)


def _end(number: int, frame: FrameType | None) -> None:
    global _first
    if _starting:
        os.write(2, f"hotline: {_WORDS[signal.Signals(number)]} while starting; no result was written\n".encode())
        os._exit(128 + number)
    if _must_wait(frame):
        retry = Timer(_RETRY_SECONDS, os.kill, (os.getpid(), number))
        retry.daemon = True
        retry.start()
        return
    if _first and monotonic() - _first[1] < _REPEAT_SECONDS:
        return  # `timeout` sends every signal twice; the second must not stop the cleaning up
    _first = _first or (number, monotonic())
    raise Ended


def _must_wait(frame: FrameType | None) -> bool:
    """Whether an exception would be lost, or worse: torch aborts the process if one ends its import, and ctypes prints
    and drops those of the functions that LLVM calls, as Python does those of `__del__`."""
    while frame:
        code = frame.f_code
        if code.co_filename.startswith("<frozen importlib") or "/llvmlite/" in code.co_filename:
            return True
        if code.co_name == "__del__":
            return True
        frame = frame.f_back
    return False
