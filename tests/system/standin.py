"""A stand-in for the device (standin_device.v), which copies memory, and checks for every backend that runs it."""

from __future__ import annotations

import threading
from dataclasses import replace
from pathlib import Path

from hotline_device.device import Device
from hotline_sim.memory.timing import PRESETS, Latency

__all__ = [
    "BREAK_RULE", "CLEAR", "CONTROL", "CORE_CYCLES", "CORE_ON", "DEAF", "IDEAL", "NEVER", "SOURCE", "STANDIN", "START",
    "STATUS", "TARGET", "check_registers_beside_a_wait", "copy",
]  # fmt: skip

STANDIN = Path(__file__).with_name("standin_device.v").read_text()
SOURCE, TARGET, CORE_CYCLES, CLEAR, START, STATUS, CONTROL = range(0x1000, 0x101C, 4)
CORE_ON, BREAK_RULE, DEAF = 1, 2, 4
IDEAL = PRESETS["ideal"]
NEVER = replace(IDEAL, read_latency=Latency(4e9))
"""Memory that does not answer while a test lasts."""


def copy(device: Device, source: int, target: int, beats: int, *, wait: bool = True) -> None:
    """Makes the stand-in copy beats of 16 bytes."""
    device.write(SOURCE, source & 0xFFFFFFFF)
    device.write(TARGET, target & 0xFFFFFFFF)
    device.write(CLEAR, 0)
    device.write(START, beats - 1)
    if wait:
        assert device.wait_irq()


def check_registers_beside_a_wait(device: Device, accesses: int, seconds: float) -> None:
    """Two threads wait for an interrupt that does not come. Two others access registers meanwhile.

    Args:
        device: its memory is NEVER.
        accesses: of each of these threads. Far fewer than fit into `seconds`, and more than a wait has slices.
    """
    region = device.memory.allocate("first", 4096)
    copy(device, region.address, region.address, 1, wait=False)
    results: list[bool] = []
    waiting = [threading.Thread(target=lambda: results.append(device.wait_irq(seconds))) for _ in range(2)]

    def access() -> None:
        for value in range(accesses // 2):
            device.write(CONTROL, value & 1)
            device.read(STATUS)

    accessing = [threading.Thread(target=access) for _ in range(2)]
    for thread in (*waiting, *accessing):
        thread.start()
    for thread in accessing:
        thread.join()
    assert all(thread.is_alive() for thread in waiting), "the waits are over, and accesses only then"
    for thread in waiting:
        thread.join()
    assert results == [False, False]
