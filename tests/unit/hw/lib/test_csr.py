"""CsrBank: a bit that is set in the cycle in which it is cleared stays set."""

from __future__ import annotations

from typing import Any

import pytest

from hotline_hw.lib.csr import CsrBank
from hotline_hw.spec.regmap import Error, register
from hotline_hw.spec.shell_registers import DmaIrq, shell_register
from tests.formal.mutants import mutated
from tests.support.axi_lite import simulate, write

ALL = 0xFFFF_FFFF


def lost(bank: type[CsrBank], of: Any, bit: int) -> bool:
    """Whether a bit that is set in every cycle is ever low while it is cleared."""
    dut = bank((of,))
    value, sets = getattr(dut, of.name.lower()), getattr(dut, f"{of.name.lower()}_set")
    low = []

    async def drive(ctx):
        ctx.set(sets, bit)
        await ctx.tick().repeat(2)
        for _ in range(3):
            await write(ctx, dut.bus, of.offset % 0x1000, ALL, watch=lambda: low.append(not ctx.get(value) & bit))
            low.append(not ctx.get(value) & bit)
        ctx.set(sets, 0)
        await ctx.tick()
        assert ctx.get(value) == bit
        await write(ctx, dut.bus, of.offset % 0x1000, ALL ^ bit)
        assert ctx.get(value) == bit, "a zero leaves its bit"
        await write(ctx, dut.bus, of.offset % 0x1000, bit)
        assert ctx.get(value) == 0, "a one clears its bit"

    simulate(dut, drive)
    assert len(low) > 6
    return any(low)


CASES = [(register("ERROR"), Error.RESTORE_ENTRY), (register("IRQ_STATUS"), 1),
         (shell_register("DMA_IRQ_STATUS"), DmaIrq.COMPLETION)]  # fmt: skip


@pytest.mark.parametrize(("of", "bit"), CASES, ids=lambda value: getattr(value, "name", None))
def test_setting_wins_over_clearing(of: Any, bit: int) -> None:
    assert not lost(CsrBank, of, int(bit))


def test_a_bank_where_clearing_wins_is_caught() -> None:
    right = "m.d.sync += bits.eq(Mux(selected, bits & ~data, bits) | added)"
    wrong = "m.d.sync += bits.eq(Mux(selected, (bits | added) & ~data, bits | added))"
    assert lost(mutated(CsrBank, right, wrong), register("ERROR"), 1)
