"""`choose`, for every index."""

from __future__ import annotations

import pytest
from amaranth.hdl import Const, Module, Signal
from amaranth.sim import Simulator

from hotline_hw.lib.muxes import choose


def values(result, inputs: Signal) -> list[int]:
    """What `result` is for every value of `inputs`."""
    m = Module()
    out = Signal(32)
    m.d.comb += out.eq(result)
    found = []

    async def look(ctx) -> None:
        for value in range(1 << len(inputs)):
            ctx.set(inputs, value)
            found.append(ctx.get(out))

    simulator = Simulator(m)
    simulator.add_testbench(look)
    simulator.run()
    return found


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_the_item_of_the_index(count):
    index = Signal((count - 1).bit_length())
    found = values(choose([Const(10 + item, 8) for item in range(count)], index), index)
    assert found[:count] == [10 + item for item in range(count)]
    assert all(10 <= other < 10 + count for other in found), "beyond the last item it is one of them"
