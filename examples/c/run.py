"""Compiles hotline.c and runs it on a simulated accelerator: `python examples/c/run.py [BACKEND [PRESET]]`.

The C program sees a `struct platform`. Its functions are those of a `Device` here. On a board they would access a BAR.
"""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from hotline_device.device import Device
from hotline_device.registry import open_device
from hotline_hw.export.c_header import c_header
from hotline_hw.spec.params import preset

SOURCE = Path(__file__).with_name("hotline.c")
FLAGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O2", "-fPIC", "-shared")
_u32, _u64 = ctypes.c_uint32, ctypes.c_uint64


class Platform(ctypes.Structure):
    """`struct platform` of hotline.c."""

    _fields_ = [
        ("read", ctypes.CFUNCTYPE(_u32, _u32)),
        ("write", ctypes.CFUNCTYPE(None, _u32, _u32)),
        ("allocate", ctypes.CFUNCTYPE(ctypes.c_void_p, ctypes.c_size_t, ctypes.POINTER(_u64))),
        ("wait_irq", ctypes.CFUNCTYPE(ctypes.c_int)),
    ]  # fmt: skip


def compile_example(folder: Path, source: Path = SOURCE) -> ctypes.CDLL:
    """Compiles `source` with a header generated into `folder`. CC names the compiler."""
    (folder / "hotline_regs.h").write_text(c_header())
    library = folder / "hotline_example.so"
    subprocess.run([os.environ.get("CC", "cc"), *FLAGS, "-I", folder, source, "-o", library], check=True)
    return ctypes.CDLL(str(library))


def run_example(library: ctypes.CDLL, device: Device) -> str:
    """Runs the C program on `device`. Returns what was wrong; empty if all was right."""
    failed: list[Exception] = []

    def guarded(call, otherwise=0):
        """ctypes prints an exception and goes on with anything."""

        def guard(*arguments):
            try:
                return call(*arguments) if not failed else otherwise
            except Exception as error:
                failed.append(error)
                return otherwise

        return guard

    def allocate(size: int, address) -> int:
        region = device.memory.allocate("c", size)
        address[0] = region.address
        return region.data.ctypes.data

    platform = Platform(*(
        kind(guarded(call))
        for (_name, kind), call in zip(
            Platform._fields_, (device.read, device.write, allocate, lambda: int(device.wait_irq(60.0))), strict=True
        )
    ))  # fmt: skip
    library.hotline_example.restype = ctypes.c_char_p
    wrong = library.hotline_example(ctypes.byref(platform))
    if failed:
        raise failed[0]
    return (wrong or b"").decode()


def main() -> None:
    backend, name = [*sys.argv[1:], *("model", "tiny")[len(sys.argv) - 1 :]]
    with tempfile.TemporaryDirectory() as folder, open_device(backend, preset(name)) as device:
        wrong = run_example(compile_example(Path(folder)), device)
    print(wrong or f"hotline.c: all is right on {backend}, {name}")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
