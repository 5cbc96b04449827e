"""The C interface of the harness, as ctypes sees it. Nothing else knows an argument's type or a status code."""

from __future__ import annotations

import ctypes
from enum import IntEnum
from pathlib import Path

import numpy as np

__all__ = ["PORTS", "SinkPort", "SourcePort", "Status", "load", "pointer"]


class Status(IntEnum):
    DONE = 0
    RUNNING = 1  # the slice of time is over: call again
    TIMEOUT = 2
    OVERFLOW = 3  # an output sent more words than the caller has room for


class SourcePort(IntEnum):
    LOOKUP = 0
    STATE = 1


class SinkPort(IntEnum):
    POPULAR = 0
    NONPOPULAR = 1
    STATE = 2


# The harness numbers stalling ports through: sources, then sinks.
PORTS = ("s_axis_lookup", "s_axis_state", "m_axis_popular", "m_axis_nonpopular", "m_axis_state")

_WORDS = ctypes.POINTER(ctypes.c_uint64)
_ENDS = ctypes.POINTER(ctypes.c_int64)
_VALUE = ctypes.POINTER(ctypes.c_uint32)
_RESPONSE = ctypes.POINTER(ctypes.c_int)
_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "create": (ctypes.c_void_p, [ctypes.c_uint64, ctypes.c_char_p]),
    "destroy": (None, [ctypes.c_void_p]),
    "reset": (None, [ctypes.c_void_p]),
    "stall": (None, [ctypes.c_void_p, ctypes.c_uint64, ctypes.POINTER(ctypes.c_double)]),
    "read": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_uint32, _VALUE, _RESPONSE]),
    "write": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, _RESPONSE]),
    "send": (None, [ctypes.c_void_p, ctypes.c_int, _WORDS, _ENDS, ctypes.c_int64]),
    "receive": (None, [ctypes.c_void_p, ctypes.c_int, _WORDS, ctypes.c_int64, _ENDS, ctypes.c_int64]),
    "run": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int, ctypes.c_double]),
    "moved": (ctypes.c_int, [ctypes.c_void_p]),
    "cycles": (ctypes.c_uint64, [ctypes.c_void_p]),
}  # fmt: skip


def load(path: Path) -> ctypes.CDLL:
    """The library at `path`, its functions typed."""
    library = ctypes.CDLL(str(path))
    for name, (result, arguments) in _SIGNATURES.items():
        function = getattr(library, f"hotline_{name}")
        function.restype, function.argtypes = result, arguments
    return library


def pointer(array: np.ndarray) -> object:
    """The first element of a contiguous uint64 or int64 array, which the caller keeps alive."""
    return array.ctypes.data_as(_WORDS if array.dtype == np.uint64 else _ENDS)
