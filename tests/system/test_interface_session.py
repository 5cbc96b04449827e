"""Whole devices are held to `tests/vectors/session.toml`: bytes in, bytes out.

A card can be tested so too: `play` needs nothing but registers and memory.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic

import numpy as np
import pytest

from hotline_device.device import Device
from hotline_device.host_memory import PAGE_BYTES, Region
from hotline_device.registry import open_device
from hotline_hw.spec.params import preset
from tests.support.tools import needs
from tests.support.vectors import SESSION

PAGES, ENTRIES, ENTRY = 16, 8, 64
CYCLES = slice(36, 40)  # of a completion: a matter of timing
COUNTS = slice(8, 32)
DEFINED = {0, 9, 10}  # OK, CORE and WORKING: after others the counts mean nothing
RING_PRODUCER, CPL_PRODUCER, CPL_CONSUMER = 0x1024, 0x102C, 0x1030


def until(holds: Callable[[], bool], what: str, seconds: float = 30) -> None:
    limit = monotonic() + seconds
    while not holds():
        assert monotonic() < limit, f"{what}: it does not end"


def entry(text: str) -> bytes:
    return bytes.fromhex(text).ljust(ENTRY, b"\0")


def run(device: Device, memory: Region, number: int, descriptor: bytes) -> bytes:
    """The completion of the session's descriptor `number`."""
    at = number % ENTRIES * ENTRY
    memory.data[at : at + ENTRY] = np.frombuffer(descriptor, np.uint8)
    device.write(RING_PRODUCER, number + 1)
    until(lambda: device.read(CPL_PRODUCER) == number + 1, descriptor.hex())
    completion = memory.data[PAGE_BYTES + at : PAGE_BYTES + at + ENTRY].tobytes()
    device.write(CPL_CONSUMER, number + 1)
    return completion


def play(device: Device) -> None:
    memory = device.memory.allocate("session", PAGES * PAGE_BYTES)
    assert memory.address == 0x1_0000_0000, "the session's addresses are numbers"
    number = 0
    for step in SESSION:
        what = step["what"]
        for offset, value in step.get("write", []):
            device.write(offset, value)
        if "until" in step:
            offset, mask, value = step["until"]
            until(lambda: device.read(offset) & mask == value, what)  # noqa: B023
        for offset, value in step.get("read", []):
            assert device.read(offset) == value, f"{what}: {offset:#x}"
        for at, text in step.get("put", []):
            content = np.frombuffer(bytes.fromhex(text), np.uint8)
            memory.data[at : at + len(content)] = content
        if "run" in step:
            descriptor, expected = step["run"]
            completion = bytearray(run(device, memory, number, entry(descriptor)))
            completion[CYCLES] = bytes(4)
            if completion[5] not in DEFINED:
                completion[COUNTS] = bytes(24)
            assert completion.hex(" ", 4) == entry(expected).hex(" ", 4), what
            number += 1
        for at, text in step.get("find", []):
            content = bytes.fromhex(text)
            assert memory.data[at : at + len(content)].tobytes().hex(" ", 4) == content.hex(" ", 4), f"{what}: {at:#x}"
    assert number == sum("run" in step for step in SESSION) > 12


@pytest.mark.parametrize("backend", ["model", pytest.param("verilated", marks=needs("verilator"))])
def test_the_session(backend: str):
    with open_device(backend, preset("tiny")) as device:
        play(device)
