"""ReadIds: a beat comes back with the tag of its read, on however few ids."""

from __future__ import annotations

import random
import warnings
from collections import deque
from dataclasses import replace

import pytest
from amaranth.hdl import Module, Signal
from amaranth.sim import Simulator

from hotline_hw.shell.bus.ids import ReadIds
from hotline_hw.spec.params import PRESETS, GeometryError

TAGS = 32
EDGE = replace(PRESETS["edge"], read_tags=TAGS)


def run(id_bits: int, *, resets: bool, seed: int = 1) -> int:
    """Random reads, tags in turn as the engine gives them out, some skipped. Returns the most that were outstanding."""
    dut = ReadIds(replace(EDGE, axi_id_bits=id_bits))
    draw = random.Random(seed)
    waiting: dict[int, deque[list[int]]] = {}  # by id: tag and beats left of reads, oldest first
    most = 0

    async def bench(ctx) -> None:
        nonlocal most
        tag = 0
        for cycle in range(3000):
            under_way = {read[0] for reads in waiting.values() for read in reads}
            most = max(most, len(under_way))
            tag = (tag + (draw.random() < 0.2)) % TAGS  # one that was refused
            send = draw.random() < 0.6 and tag not in under_way
            ctx.set(dut.sent, send)
            ctx.set(dut.tag, tag)
            chosen = draw.choice([i for i, reads in waiting.items() if reads] or [None])
            answer = chosen is not None and draw.random() < 0.8
            reset = resets and cycle % 500 == 499
            ctx.set(dut.bus_rst, reset)
            ctx.set(dut.rvalid, answer)
            if answer:
                read = waiting[chosen][0]
                ctx.set(dut.rid, chosen)
                ctx.set(dut.rlast, read[1] == 1)
                assert ctx.get(dut.back) == read[0]
                read[1] -= 1
                if not read[1]:
                    waiting[chosen].popleft()
            if send:
                given = ctx.get(dut.id)
                assert given < 1 << (id_bits or 5)
                waiting.setdefault(given, deque()).append([tag, draw.randint(1, 4)])
                tag = (tag + 1) % TAGS
            if reset:
                waiting.clear()
            await ctx.tick()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        top = Module()
        top.submodules.dut = dut
        top.d.sync += Signal(name="clocked").eq(1)  # where ids are tags, nothing else is
        simulator = Simulator(top)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return most


@pytest.mark.parametrize("id_bits", [0, 2, 4, 5, 7])
@pytest.mark.parametrize("resets", [False, True])
def test_tags_come_back(id_bits, resets):
    assert run(id_bits, resets=resets) > 20, "more reads than ids were under way"


def test_widths_of_ids():
    assert EDGE.id_bits == 5 and replace(EDGE, axi_id_bits=4).id_bits == 4
    for wrong in (1, 17, -1):
        with pytest.raises(GeometryError, match=rf"axi_id_bits={wrong} breaks the rule: 0 .* 2 to 16"):
            replace(EDGE, axi_id_bits=wrong)
