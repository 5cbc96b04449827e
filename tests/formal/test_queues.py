"""Bank queues: whatever the user does within the contract, items leave in order; none is lost and none comes twice.

There is no whole reference queue. The property watches one item, chosen freely among all that are ever pushed. It
counts how many items are ahead of it, and compares it when its turn comes. Any item may be the watched one, so this
proves the order of all. A queue does not look at its items and treats all their bits alike, so one bit is proof enough.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Array, Assert, Assume, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hotline_hw.lib.queues import MultiPopQueue, MultiPushQueue
from hotline_sim.formal import PropertyFailed, cover, prove


class Watched(wiring.Component):
    """Common to both queues: a free user within the contract, and one watched item.

    Ports:
        items, push_count, pop_count: what the user does. watch, choice: watch item `choice` of this cycle's push.
    """

    def __init__(self, depth: int, ports: int, bug: str = "") -> None:
        self.depth, self.ports, self.bug = depth, ports, bug
        super().__init__(
            {
                "items": In(1).array(ports),
                "push_count": In(range(ports + 1)),
                "pop_count": In(range(ports + 1)),
                "watch": In(1),
                "choice": In(range(ports)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        level = Signal(range(self.depth + 1))
        popped = Signal(range(self.ports + 1))
        seen, visible, pop_limit = self.connect(m, level, popped)

        watching = Signal()
        ahead = Signal(range(self.depth))
        value = Signal()
        m.d.sync += [
            Assume(self.push_count <= self.ports, "a push is no wider than the queue"),
            Assume(self.push_count <= self.depth - level, "only into free places"),
            Assume(self.pop_count <= pop_limit, "only what is there"),
            level.eq(level + self.push_count - popped),
        ]
        with m.If(~watching):
            with m.If(self.watch & (self.choice < self.push_count)):
                m.d.sync += [
                    watching.eq(1),
                    ahead.eq(level + self.choice - popped),
                    value.eq(Array(self.items)[self.choice]),
                ]
        with m.Elif(ahead >= popped):
            m.d.sync += ahead.eq(ahead - popped)
        with m.Else():
            m.d.sync += watching.eq(0)
        m.d.sync += [
            Assert(~watching | (ahead < level), "a watched item is inside"),
            Assert(visible == Mux(level > len(seen), len(seen), level), "as many to see as there are"),
            Cover((level == self.depth) & watching & (ahead == 0) & value, "full, and the watched item is the oldest"),
        ]
        for place, item in enumerate(seen):
            m.d.sync += Assert(~watching | (ahead != place) | (item == value), "the item seen is the item pushed")
        return m


class PushQueueKeepsOrder(Watched):
    def connect(self, m, level, popped):
        m.submodules.dut = dut = MultiPushQueue(width=1, depth=self.depth, ports=self.ports)
        m.d.comb += [
            dut.push_count.eq(self.push_count),
            dut.pop.eq(self.pop_count.any()),
            popped.eq(self.pop_count.any() & (level != 0)),
        ]
        for index, item in enumerate(dut.push):
            source = self.ports - 1 - index if self.bug == "reversed" else index
            m.d.comb += item.eq(self.items[source])
        return [dut.head], dut.head_valid, self.ports


class PopQueueKeepsOrder(Watched):
    def connect(self, m, level, popped):
        m.submodules.dut = dut = MultiPopQueue(width=1, depth=self.depth, ports=self.ports)
        m.d.comb += [
            dut.push.eq(self.items[0]),
            dut.push_valid.eq(self.push_count.any()),
            dut.pop_count.eq(self.pop_count),
            popped.eq(self.pop_count),
        ]
        m.d.sync += [
            Assume(self.push_count <= 1, "one pushed in a cycle"),
            Assert(dut.level == level, "level"),
        ]
        shown = Signal(range(self.ports + 1))
        m.d.comb += shown.eq(Mux(level > self.ports, self.ports, level))
        heads = list(reversed(dut.heads)) if self.bug == "reversed" else list(dut.heads)
        return heads, shown, shown


GEOMETRIES = [(4, 1), (4, 2), (8, 2), (8, 4)]


@pytest.mark.parametrize("queue", [PushQueueKeepsOrder, PopQueueKeepsOrder])
@pytest.mark.parametrize(("depth", "ports"), GEOMETRIES)
def test_order_is_kept_and_nothing_lost(queue, depth, ports, tmp_path):
    prove(queue(depth, ports), tmp_path / "prove")
    cover(queue(depth, ports), tmp_path / "cover", cycles=2 * depth)


@pytest.mark.parametrize("queue", [PushQueueKeepsOrder, PopQueueKeepsOrder])
def test_a_wrong_order_is_caught(queue, tmp_path):
    with pytest.raises(PropertyFailed, match="the item seen is the item pushed"):
        prove(queue(4, 2, bug="reversed"), tmp_path)
