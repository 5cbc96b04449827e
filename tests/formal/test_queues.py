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

from hotline_hw.lib.queues import MultiPopQueue, MultiPushQueue, StreamQueue
from hotline_sim.formal import PropertyFailed, check, cover, prove
from tests.formal.mutants import mutated


class Watched(wiring.Component):
    """Common to both queues: a free user within the contract, and one watched item.

    Ports:
        items, push_count, pop_count: what the user does. watch, choice: watch item `choice` of this cycle's push.
        idle_count: what a count says while nothing is done.
    """

    def __init__(self, depth: int, ports: int, bug: str = "") -> None:
        self.depth, self.ports, self.bug = depth, ports, bug
        super().__init__(
            {
                "items": In(1).array(ports),
                "push_count": In(range(ports + 1)),
                "pop_count": In(range(ports + 1)),
                "idle_count": In(range(ports + 1)),
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


class StreamQueueKeepsOrder(wiring.Component):
    """A StreamQueue between a free source and a free sink. `watch`: watch the item that is pushed."""

    def __init__(self, depth: int, queue: type[StreamQueue] = StreamQueue) -> None:
        self.depth, self.queue = depth, queue
        super().__init__({"item": In(1), "push": In(1), "pop": In(1), "watch": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = self.queue(1, depth=self.depth)
        level = Signal(range(self.depth + 3))
        pushed, popped = Signal(), Signal()
        m.d.comb += [
            dut.input.valid.eq(self.push), dut.input.payload.eq(self.item), dut.output.ready.eq(self.pop),
            pushed.eq(self.push & dut.input.ready), popped.eq(self.pop & dut.output.valid),
        ]  # fmt: skip
        watching, ahead, value = Signal(), Signal(range(self.depth + 2)), Signal()
        with m.If(~watching & self.watch & pushed):
            m.d.sync += [watching.eq(1), ahead.eq(level - popped), value.eq(self.item)]
        with m.Elif(watching & popped):
            m.d.sync += [watching.eq(ahead != 0), ahead.eq(ahead - 1)]
        unseen, refused = Signal(2), Signal(2)
        m.d.sync += [
            level.eq(level + pushed - popped),
            unseen.eq(Mux((level == 0) | dut.output.valid, 0, unseen + 1)),
            refused.eq(Mux((level >= self.depth) | dut.input.ready, 0, refused + 1)),
            Assert(level <= self.depth + 1, "no item too many"),
            Assert(~dut.output.valid | (level != 0), "what comes out went in"),
            Assert(unseen < 2, "an item is seen two cycles after its push at the latest"),
            Assert(refused < 3, "there is room two cycles after a place is free at the latest"),
            Assert(~(watching & dut.output.valid & (ahead == 0)) | (dut.output.payload == value), "in order"),
            Cover((level == self.depth + 1) & watching & (ahead == self.depth) & value, "full, the watched one last"),
        ]
        return m


class PushQueueKeepsOrder(Watched):
    def connect(self, m, level, popped):
        m.submodules.dut = dut = MultiPushQueue(width=1, depth=self.depth, ports=self.ports)
        m.d.comb += [
            dut.push_count.eq(Mux(self.push_count == 0, self.idle_count, self.push_count)),
            dut.push_valid.eq(self.push_count != 0),
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
            dut.pop_count.eq(Mux(self.pop_count == 0, self.idle_count, self.pop_count)),
            dut.pop.eq(self.pop_count != 0),
            popped.eq(self.pop_count),
        ]
        m.d.sync += Assume(self.push_count <= 1, "one pushed in a cycle")
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


@pytest.mark.parametrize("depth", [2, 3, 4])
def test_streams_keep_their_order(depth, tmp_path):
    prove(StreamQueueKeepsOrder(depth), tmp_path / "prove")
    cover(StreamQueueKeepsOrder(depth), tmp_path / "cover", cycles=2 * depth + 6)


STREAM_MUTANTS = {
    "a place too many": ("init=self.depth - 1)", "init=self.depth + 1)"),
    "places are lost": ("Mux(taken, spare + freed - 1,", "Mux(taken, spare - 1,"),
    "an item that waits is overwritten": ("& (~self.output.valid | self.output.ready)),", "),"),
    "an item comes twice": ("m.d.sync += [read_pointer.eq(read_pointer + 1), self.output.valid.eq(1)]",
                            "m.d.sync += [read_pointer.eq(read_pointer + self.output.ready), self.output.valid.eq(1)]"),
}  # fmt: skip


@pytest.mark.parametrize("mutant", STREAM_MUTANTS)
def test_a_broken_stream_queue_is_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(StreamQueueKeepsOrder(4, mutated(StreamQueue, *STREAM_MUTANTS[mutant])), tmp_path, cycles=16)
