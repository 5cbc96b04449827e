"""The C interfaces of the harnesses in ctypes: the only place with argument types and status codes."""

from __future__ import annotations

import ctypes
from enum import IntEnum
from pathlib import Path

import numpy as np

from hotline_sim.memory.library import Config, type_calls

__all__ = ["PORTS", "DeviceStatus", "SinkPort", "SourcePort", "Status", "load", "load_device", "pointer"]


class Status(IntEnum):
    DONE = 0
    RUNNING = 1  # the time slice is over: call again
    TIMEOUT = 2
    OVERFLOW = 3  # an output sent more words than the caller has room for


class DeviceStatus(IntEnum):
    DONE = 0
    RUNNING = 1  # the time slice is over, or was cut short: call again
    TIMEOUT = 2
    VIOLATION = 3  # the AXI4 manager broke a rule


class SourcePort(IntEnum):
    LOOKUP = 0
    STATE = 1


class SinkPort(IntEnum):
    POPULAR = 0
    NONPOPULAR = 1
    STATE = 2


# The harness numbers the ports for stalls: sources, then sinks.
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
_WANTED = ctypes.POINTER(ctypes.c_int32)
_DEVICE_SIGNATURES: dict[str, tuple[object, list[object]]] = {
    "beat_bytes": (ctypes.c_uint32, []),
    "create": (ctypes.c_void_p, [ctypes.POINTER(Config), ctypes.c_uint64, ctypes.c_char_p, _WANTED]),
    "destroy": (None, [ctypes.c_void_p]),
    "reset": (None, [ctypes.c_void_p]),
    "memory": (ctypes.c_void_p, [ctypes.c_void_p]),
    "read": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_uint32, _VALUE, _RESPONSE]),
    "write": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_uint32, ctypes.c_uint32, _RESPONSE]),
    "run": (ctypes.c_int, [ctypes.c_void_p, ctypes.c_int, ctypes.c_double]),
    "cycles": (ctypes.c_uint64, [ctypes.c_void_p]),
    "core_cycles": (ctypes.c_uint64, [ctypes.c_void_p]),
}


def load(path: Path) -> ctypes.CDLL:
    """Loads the stream core's library and declares the types of its functions."""
    return _typed(ctypes.CDLL(str(path)), "hotline", _SIGNATURES)


def load_device(path: Path) -> ctypes.CDLL:
    """Loads the device's library and declares the types of its functions, including the memory model's."""
    return type_calls(_typed(ctypes.CDLL(str(path)), "hotline_device", _DEVICE_SIGNATURES))


def _typed(library: ctypes.CDLL, prefix: str, signatures: dict[str, tuple[object, list[object]]]) -> ctypes.CDLL:
    for name, (result, arguments) in signatures.items():
        function = getattr(library, f"{prefix}_{name}")
        function.restype, function.argtypes = result, arguments
    return library


def pointer(array: np.ndarray) -> object:
    """The first element of a contiguous uint64 or int64 array, which the caller keeps alive."""
    return array.ctypes.data_as(_WORDS if array.dtype == np.uint64 else _ENDS)
