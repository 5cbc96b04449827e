"""Random programmes, under every timing of memory."""

from __future__ import annotations

from typing import Any

import cocotb

from hotline_sim.bench.simulator import cases

from .memory import CORNERS, DISORDER, LIMITED
from .stimulus import Maker
from .tb import DeviceTB

TIMINGS = {**CORNERS, "disorder": DISORDER, **{f"limited_{most}": timing for most, timing in LIMITED.items()}}


@cocotb.test()
@cocotb.parametrize(timing=list(TIMINGS), gated=cases(True, False))
async def test_random(dut: Any, timing: str, gated: bool) -> None:
    """Random groups of descriptors, some of them malformed."""
    tb = DeviceTB(dut, timing=TIMINGS[timing], gated=gated)
    await tb.start()
    for _ in range(list(TIMINGS).index(timing)):  # another programme for each timing; both clocks share it
        tb.rng = tb.rng.spawn(1)[0]
    for universe in (2, 12, 40, 80):
        await tb.run(*Maker(tb, universe=universe).group(7))
    await tb.finish()
