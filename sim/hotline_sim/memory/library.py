"""The memory model's C interface (`pins.hpp`, `model.cpp`) in ctypes, and the library of the model alone."""

from __future__ import annotations

import ctypes
import functools
import os
import platform
import shutil
from pathlib import Path

from hotline_device.device import DeviceError
from hotline_sim.build.cache import cached_build, digest, run_logged
from hotline_sim.build.library import compiler_version
from hotline_sim.build.sources import digest_sources, read_sources, write_sources
from hotline_sim.build.tools import SAFE_OPTIMISATION, find_compiler

from .timing import TAILS, Latency, MemoryTiming

__all__ = ["MAX_BEAT_BYTES", "Config", "Pins", "Statistics", "config", "memory_library", "memory_sources", "type_calls"]

MAX_BEAT_BYTES = 64
_FOLDER = Path(__file__).parent
_LIBRARY_NAME = "libhotline_memory.so"
_FLAGS = ("-std=c++17", "-O2", "-fPIC", "-shared", "-fvisibility=hidden", *SAFE_OPTIMISATION)

_u64, _u32, _u8, _double = ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint8, ctypes.c_double


def _fields(*groups: tuple[type, str]) -> list[tuple[str, type]]:
    """Fields, grouped by type."""
    return [(name, kind) for kind, names in groups for name in names.split()]


class Address(ctypes.Structure):
    """An address channel, driven by the manager."""

    _fields_ = _fields((_u64, "addr"), (_u32, "id"), (_u8, "len size burst lock cache prot qos valid"))


class Pins(ctypes.Structure):
    """All pins. Set the manager's, up to `bready`, before `sample`; `offer` sets the others."""

    _fields_ = _fields(
        (Address, "ar aw"), (_u64, "wstrb"), (_u8 * MAX_BEAT_BYTES, "wdata"), (_u8, "wlast wvalid rready bready"),
        (_u8, "arready awready wready rvalid rlast rresp bvalid bresp"), (_u32, "rid bid"),
        (_u8 * MAX_BEAT_BYTES, "rdata"),
    )  # fmt: skip


class _Latency(ctypes.Structure):
    _fields_ = _fields((_double, "minimum tail_mean sigma"), (_u32, "tail unused"))


class Config(ctypes.Structure):
    """All settings; see `pins.hpp`."""

    _fields_ = _fields(
        (_u64, "seed"),
        (_Latency, "read_latency write_latency"),
        (_double, "read_rate write_rate"),
        (_double, "read_header write_header request_header"),
        (_double, "interleave early_reads late_writes early_data"),
        (_double, "ar_stall aw_stall w_stall r_gap b_gap"),
        (_double, "error"),
        (_u32, "beat_bytes id_bits max_beats shared"),
        (_u32, "read_payload write_payload request_size"),
        (_u32, "reads writes unused"),
    )


class Direction(ctypes.Structure):
    _fields_ = _fields(
        (_u64, "bursts beats bytes errors pending_cycles peak overtaken interleaved latencies"),
        (_double, "busy_cycles latency_sum latency_min latency_max"),
    )


class Statistics(ctypes.Structure):
    _fields_ = _fields((_u64, "cycles"), (Direction, "read write"))


def config(timing: MemoryTiming, *, axi_bits: int, id_bits: int, seed: int, max_beats: int = 16) -> Config:
    """The settings, converted to the model's units.

    Raises:
        ValueError: the model does not support the bus.
    """
    if axi_bits not in (32, 64, 128, 256, 512):
        raise ValueError(f"axi_bits={axi_bits}: the memory model's bus has 32, 64, 128, 256 or 512 bits")
    if not 0 <= id_bits <= 16:
        raise ValueError(f"id_bits={id_bits}: the memory model's ids have 0 to 16 bits")
    if not 1 <= max_beats <= 256:
        raise ValueError(f"max_beats={max_beats}: a burst of AXI4 has 1 to 256 beats")

    def latency(of: Latency) -> _Latency:
        return _Latency(timing.cycles(of.minimum), timing.cycles(of.tail_mean), of.sigma, TAILS.index(of.tail), 0)

    return Config(
        seed=seed % (1 << 64),
        read_latency=latency(timing.read_latency),
        write_latency=latency(timing.write_latency),
        read_rate=timing.bytes_per_cycle(timing.read_gb_per_s),
        write_rate=timing.bytes_per_cycle(timing.write_gb_per_s),
        read_header=timing.read_header_bytes,
        write_header=timing.write_header_bytes,
        request_header=timing.request_header_bytes,
        **{name: getattr(timing, name) for name in (
            "interleave", "early_reads", "late_writes", "early_data", "ar_stall", "aw_stall", "w_stall", "r_gap",
            "b_gap", "error", "shared", "reads", "writes",
        )},
        beat_bytes=axi_bits // 8,
        id_bits=id_bits,
        max_beats=max_beats,
        read_payload=timing.read_payload_bytes,
        write_payload=timing.write_payload_bytes,
        request_size=timing.request_bytes,
    )  # fmt: skip


_HANDLE = ctypes.c_void_p
_CALLS: dict[str, tuple[object, list[object]]] = {
    "sizes": (_u64, []),
    "create": (_HANDLE, [ctypes.POINTER(Config)]),
    "destroy": (None, [_HANDLE]),
    "reset": (None, [_HANDLE]),
    "pins": (ctypes.POINTER(Pins), [_HANDLE]),
    "offer": (None, [_HANDLE]),
    "sample": (ctypes.c_int, [_HANDLE]),
    "region": (None, [_HANDLE, _u64, _u64, ctypes.c_void_p]),
    "answer": (None, [_HANDLE, _u64, _u64, _u8]),
    "clear_answers": (None, [_HANDLE]),
    "statistics": (None, [_HANDLE, ctypes.POINTER(Statistics)]),
    "clear_statistics": (None, [_HANDLE]),
    "violations": (_u64, [_HANDLE]),
    "message": (ctypes.c_char_p, [_HANDLE]),
}


def type_calls(library: ctypes.CDLL) -> ctypes.CDLL:
    """Declares the types of the memory model's functions in a library that contains the model. Returns the library.

    Raises:
        DeviceError: the sizes of its structures differ from those here.
    """
    for name, (result, arguments) in _CALLS.items():
        function = getattr(library, f"hotline_memory_{name}")
        function.restype, function.argtypes = result, arguments
    ours = ctypes.sizeof(Pins) << 32 | ctypes.sizeof(Config) << 16 | ctypes.sizeof(Statistics)
    if library.hotline_memory_sizes() != ours:
        raise DeviceError("the memory model's structures in library.py are not those in pins.hpp: make them equal")
    return library


def memory_sources() -> list[Path]:
    """All C++ files of the model, model.cpp first; only that one is compiled."""
    return [_FOLDER / "model.cpp", *sorted(_FOLDER.glob("*.hpp"))]


@functools.cache
def memory_library() -> ctypes.CDLL:
    """The model alone, compiled on first use (seconds).

    Raises:
        DeviceError: there is no compiler, or it failed; the message says what to install, or where its log is.
    """
    compiler = find_compiler()
    sources = read_sources(_FOLDER, memory_sources())
    key = digest(digest_sources(sources), compiler_version(tuple(compiler)), platform.machine(), *_FLAGS)

    def build(folder: Path) -> None:
        write_sources(sources, folder / "sources")
        command = [*compiler, *_FLAGS, f"sources/{memory_sources()[0].name}", "-o", _LIBRARY_NAME]
        run_logged(command, folder, os.environ, "compiling the memory model")
        shutil.rmtree(folder / "sources")

    folder = cached_build(f"memory-{key}", "the memory model (seconds, once)", build)
    return type_calls(ctypes.CDLL(str(folder / _LIBRARY_NAME)))
