"""Everything that the device accesses lies across a multiple of 4 GiB, or at the top of 64-bit addresses.

The boundary is in the middle of a ring, of buffers and of rows. A carry that is lost at bit 32 leads elsewhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cocotb
import numpy as np

from hotline_hw.spec.descriptors import ENTRY_BYTES, SUMMARY_BYTES, Flag, Status
from hotline_hw.spec.words import TABLE_FIELD

from .memory import CORNERS, DISORDER
from .registers import TABLE_ROWS, TABLE_STRIDE
from .stimulus import Maker
from .tb import DeviceTB

_RING = 8 * ENTRY_BYTES  # half of a ring of 16 entries
_BUFFERS = {"source": 512, "state": 128, "results": 192, "rows": 704, "table": 3 * TABLE_STRIDE + 48}
PLACES: dict[str, dict[str, int]] = {
    "descriptors": {"rings": _RING, **_BUFFERS},
    "completions": {"rings": 4096 + _RING, **_BUFFERS, "table": 128 << 10},
    "lookups at the top": {"source": 32 << 10, "results": 192 + 64},
}
"""Bytes of each region that are below the boundary."""


@cocotb.test()
@cocotb.parametrize(place=list(PLACES))
async def test_across_4_gib(dut: Any, place: str) -> None:
    """Every opcode, one after the other and in random groups, with more descriptors than a ring has entries."""
    leads = PLACES[place]
    tb = DeviceTB(dut, timing=DISORDER if place == "completions" else CORNERS["slow_writes"], leads=leads)
    await tb.start()
    maker = Maker(tb, universe=12)
    if leads.get("table") == tb.table.size:
        await tb.set_table(1, tb.table.address + tb.table.size - TABLE_ROWS * TABLE_STRIDE)
    far = 0x9ABC_DEF1  # so many rows before those in memory: a row times its stride takes more than 32 bits
    if "table" in leads:
        await tb.set_table(5, tb.table.address - far * TABLE_STRIDE, far + TABLE_ROWS)
    for _ in range(2):
        maker.begin_group()
        done = await tb.run(
            maker.learn(60, 4), maker.select(), maker.classify(100, 5), maker.gather(80, Flag.KEYS),
            maker.classify(90, 0, Flag.LEARN), maker.gather(80, Flag.HELD), maker.dump(),
        )  # fmt: skip
        assert {one.status for one in done} <= {Status.OK, Status.WORKING}
        everything = Maker(tb, universe=TABLE_ROWS)
        await tb.run(maker.restore(), everything.random_list(90, 80), maker.dump())
        if "table" in leads:
            rows = far + tb.rng.integers(0, TABLE_ROWS, 40)
            await tb.one(everything.gather_list(rows.astype(np.uint64) | np.uint64(5 << TABLE_FIELD.low), 80))
    if leads.get("source") == tb.source.size:
        it = maker.learn(64, 4)
        tb.memory.put((1 << 64) - 256, tb.memory.get(it.source, 256))
        await tb.one(it.__class__(opcode=it.opcode, source=(1 << 64) - 256, count=64, operand=4))
    it = maker.classify(80, 4)  # the summary's first part ends at the boundary
    boundary = tb.results.address + leads["results"]
    await tb.run(replace(it, targets=(boundary + 4096, boundary + 8192, boundary - SUMMARY_BYTES)))
    for universe in (3, 40):
        await tb.run(*Maker(tb, universe=universe).group(7))
    await tb.finish()
