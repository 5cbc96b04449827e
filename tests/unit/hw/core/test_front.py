"""The front table alone: when it forgets slots, when it is emptied, and when its rows may change."""

from __future__ import annotations

from typing import Any

import pytest

from hotline_hw.core.input.front import FrontTable
from hotline_hw.spec.params import preset
from tests.formal.mutants import mutated
from tests.support.axi_lite import simulate
from tests.support.streams import pulse

TINY = preset("tiny")
ROWS = [11, 22]  # mixed keys


def check(dut: FrontTable) -> None:
    """Raises AssertionError if a scene does not go as it must."""

    async def put(ctx: Any, *, front: bool = False, end: bool = False, cycles: int = 40) -> bool:
        """Offers a beat with both keys. Returns whether it was taken in so many cycles."""
        lane = {"payload": 0, "valid": 1, "last": 1, "bad": 0}
        flags = {"learn": not front, "classify": 0, "front": front, "end": end}
        ctx.set(dut.input.payload, {"beat": {"lanes": [lane, lane], **flags}, "mixed": ROWS})
        ctx.set(dut.input.valid, 1)
        for _ in range(cycles):
            _, _, taken = await ctx.tick().sample(dut.input.ready)
            if taken:
                ctx.set(dut.input.valid, 0)
                return True
        ctx.set(dut.input.valid, 0)
        return False

    async def seen(ctx: Any) -> list[tuple[int, int]]:
        """(fronted, known) of both keys in a beat that ends no mini-batch."""
        assert await put(ctx)
        await ctx.tick().repeat(2)
        assert ctx.get(dut.output.valid)
        lanes = ctx.get(dut.output.payload).lanes
        return [(lanes[lane].fronted, lanes[lane].known) for lane in range(2)]

    async def answer(ctx: Any, row: int, slot: int) -> None:
        await pulse(ctx, dut.answer_valid, row=(dut.answer_front, row), slot=(dut.answer_slot, slot))

    async def scenes(ctx: Any) -> None:
        ctx.set(dut.output.ready, 1)
        assert await seen(ctx) == [(0, 0), (0, 0)]
        assert await put(ctx, front=True, end=True)
        await ctx.tick().repeat(4)
        await pulse(ctx, dut.over)
        assert await seen(ctx) == [(1, 0), (1, 0)]
        await answer(ctx, 1, 5)
        assert await seen(ctx) == [(1, 0), (1, 1)]
        await pulse(ctx, dut.forget)  # SELECT
        assert await seen(ctx) == [(1, 0), (1, 0)]
        await answer(ctx, 0, 3)
        assert await put(ctx, end=True)  # a mini-batch is under way
        assert not await put(ctx, front=True, end=True)
        await pulse(ctx, dut.over)
        assert await put(ctx, front=True, end=True)
        await ctx.tick().repeat(4)
        await pulse(ctx, dut.over)
        assert await seen(ctx) == [(1, 0), (1, 0)]  # other rows now, though of the same keys
        await answer(ctx, 0, 3)
        await pulse(ctx, dut.clear)
        assert await seen(ctx) == [(0, 0), (0, 0)]

    simulate(dut, scenes)


def test_scenes() -> None:
    check(FrontTable(TINY))


MUTANTS = {
    "slots are not forgotten at SELECT": ("self.clear | self.forget | renew", "self.clear | renew"),
    "an old row's slot is kept for a new one": ("self.clear | self.forget | renew", "self.clear | self.forget"),
    "the table changes with mini-batches under way": (
        "self.input.valid & beat.front & quiet", "self.input.valid & beat.front",
    ),
    "a mini-batch that has just ended is not seen": ("(under_way == 0) & ~ends", "under_way == 0"),
    "CLEAR leaves the table": ("with m.If(self.clear | renew):", "with m.If(renew):"),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_mistake_is_caught(mutant: str) -> None:
    with pytest.raises(AssertionError):
        check(mutated(FrontTable, *MUTANTS[mutant])(TINY))
