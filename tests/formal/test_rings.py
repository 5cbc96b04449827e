"""RingControl: indexes never leave their ring, whatever the host writes. Whoever waits for completions is told.

Indexes have few bits instead of 16, so that they soon wrap.
"""

from __future__ import annotations

from unittest import mock

import pytest
from amaranth.hdl import Assert, Assume, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hotline_hw.shell.rings.ring_control import RingControl
from hotline_sim.formal import PropertyFailed, check, cover, first_value, prove
from tests.formal.dma_parts import with_parts
from tests.formal.mutants import mutated
from tests.formal.shell_mutants import RINGS

BITS = 4  # of an index
MOST_LOG2 = 3
TIME_BITS = 3  # of the delay


class Rings(wiring.Component):
    """Free doorbells, and a device that keeps its part of the contract.

    Ports:
        log2_size, coalesce, delay: at first. producer_write, cpl_consumer_write, write_data: of the host.
        fetch: a descriptor is asked for, if one is available. came: it arrives.
        complete: a completion is written, if there is room.
        urgent, clear: as in RingControl. clear is not set while a descriptor is on its way.
        watch: watch the completion that is written.
    """

    def __init__(self, dut: type[RingControl] = RingControl) -> None:
        self.dut = dut
        super().__init__(
            {
                "log2_size": In(range(MOST_LOG2 + 1)), "coalesce": In(BITS), "delay": In(TIME_BITS),
                "producer_write": In(1), "cpl_consumer_write": In(1), "write_data": In(BITS + 1),
                "fetch": In(1), "came": In(1), "complete": In(1), "urgent": In(1), "clear": In(1), "watch": In(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        with mock.patch.dict(self.dut.elaborate.__globals__, INDEX_BITS=BITS):
            m.submodules.dut = dut = with_parts(self.dut, INDEX_BITS=BITS)()
        log2_size = first_value(m, self.log2_size)
        coalesce, delay = first_value(m, self.coalesce), first_value(m, self.delay)
        size = Signal(BITS)
        reading = Signal()  # a descriptor is on its way
        begun = Signal()
        m.d.comb += [
            size.eq(1 << log2_size), dut.log2_size.eq(log2_size), dut.coalesce.eq(coalesce), dut.delay.eq(delay),
            dut.producer_write.eq(self.producer_write), dut.cpl_consumer_write.eq(self.cpl_consumer_write),
            dut.write_data.eq(self.write_data), dut.urgent.eq(self.urgent), dut.clear.eq(self.clear),
            dut.fetched.eq(reading & self.came), dut.completed.eq(self.complete & dut.room),
        ]  # fmt: skip
        later = {name: Signal(name=f"{name}_later") for name in ("producer_write", "cpl_consumer_write")}
        more, fewer, allowed, rung = Signal(BITS), Signal(BITS), Signal(), Signal()
        cleared, counts, completed = Signal(), Signal(), Signal(init=1)
        m.d.sync += completed.eq(dut.completed)
        m.d.comb += [
            rung.eq(later["producer_write"] | later["cpl_consumer_write"]), counts.eq(allowed & ~cleared),
        ]  # fmt: skip
        with m.If(dut.fetched):
            m.d.sync += reading.eq(0)
        with m.Elif(self.fetch & dut.available & ~self.clear & ~reading):
            m.d.sync += reading.eq(1)
        m.d.sync += [
            Assume(log2_size <= MOST_LOG2, "no larger rings"),
            begun.eq(1),
            Assume(begun | ~(self.producer_write | self.cpl_consumer_write), "the size comes before"),
            Assume(~(self.producer_write & self.cpl_consumer_write), "one register is written at a time"),
            Assume(~(rung & (self.producer_write | self.cpl_consumer_write)), "and not in the cycle after"),
            Assume(~(completed & self.complete), "completions take their time"),
            Assume(~self.clear | (~reading & ~dut.completed), "cleared while nothing is under way"),
        ]

        # Both rings, by counting. A doorbell is judged by what there is in its cycle, and counts in the next.
        ready, waiting = Signal(BITS), Signal(BITS)
        new, beyond = self.write_data[:BITS], self.write_data[BITS:].any()
        now_more, now_fewer, old = Signal(BITS), Signal(BITS), Signal(BITS)
        m.d.comb += [
            now_more.eq(new - dut.producer), now_fewer.eq(new - dut.cpl_consumer), old.eq(size - ready),
        ]  # fmt: skip
        for name in ("producer_write", "cpl_consumer_write"):
            m.d.sync += later[name].eq(getattr(self, name))
        m.d.sync += [
            more.eq(now_more), fewer.eq(now_fewer), cleared.eq(self.clear),
            allowed.eq(~beyond & Mux(self.producer_write, now_more <= old, now_fewer <= waiting)),
        ]  # fmt: skip
        m.d.sync += [
            ready.eq(ready - dut.fetched + Mux(later["producer_write"] & counts, more, 0)),
            waiting.eq(waiting + dut.completed - Mux(later["cpl_consumer_write"] & counts, fewer, 0)),
            Assert(dut.doorbell_error == (rung & ~allowed), "doorbells beyond the ring are refused, and no others"),
            Assert((dut.producer - dut.consumer)[:BITS] == ready, "descriptors are those that were told of"),
            Assert((dut.cpl_producer - dut.cpl_consumer)[:BITS] == waiting, "no completion is lost"),
            Assert(ready <= size, "no more descriptors than the ring has entries"),
            Assert(waiting <= size, "no more completions than the ring has entries"),
            Assert(dut.available == (ready != 0), "available as long as there are descriptors"),
            Assert(~reading | (ready != 0), "what is fetched is in the ring"),
            Assert(dut.room == (waiting < size), "room as long as the ring is not full"),
            Assert(dut.entry < size, "entries are of the ring"),
            Assert(dut.cpl_entry < size, "entries of completions are of their ring"),
        ]

        # Entries come one after the other. A round later the generation is another one.
        entry, cpl_entry, generation = Signal(BITS), Signal(BITS), Signal(init=1)
        last, cpl_last = entry == size - 1, cpl_entry == size - 1
        with m.If(dut.fetched):
            m.d.sync += entry.eq(Mux(last, 0, entry + 1))
        with m.If(dut.completed):
            m.d.sync += [cpl_entry.eq(Mux(cpl_last, 0, cpl_entry + 1)), generation.eq(generation ^ cpl_last)]
        m.d.sync += [
            Assert(dut.entry == entry, "descriptors in the order of the ring"),
            Assert(dut.cpl_entry == cpl_entry, "completions in the order of their ring"),
            Assert(dut.generation == generation, "a generation a round"),
        ]

        # Interrupts: by count, on demand, and by time.
        late, told, most_late = Signal(TIME_BITS + 1), Signal(), delay + 1
        took = later["cpl_consumer_write"] & counts
        m.d.sync += [
            Assert(~dut.completed | ~self.urgent | dut.interrupt, "an urgent completion interrupts"),
            Assert(~dut.completed | (waiting + 1 < coalesce) | dut.interrupt, "so do as many as should"),
            Assert(~dut.interrupt | dut.completed | (delay != 0), "by time only if asked for"),
            Assert(~dut.interrupt | (waiting != 0) | dut.completed, "none without a completion"),
            Assert(~(dut.interrupt & told & ~dut.completed), "by time once"),
        ]
        with m.If(took | self.clear | (waiting == 0)):
            m.d.sync += [late.eq(0), told.eq(0)]
        with m.Else():
            m.d.sync += [
                late.eq(Mux(late > most_late, late, late + 1)),
                told.eq(told | (dut.interrupt & (late > most_late))),
            ]
            m.d.sync += Assert((delay == 0) | told | dut.interrupt | (late <= most_late), "by time at the latest")
        with m.If(self.clear):
            m.d.sync += [x.eq(0) for x in (ready, waiting, entry, cpl_entry, reading)]
            m.d.sync += generation.eq(1)
        m.d.sync += Cover(
            (log2_size == 2) & dut.interrupt & ~dut.completed & ~generation & (waiting == 2) & (entry == 1), "by time"
        )
        return m


def test_indexes_stay_in_their_rings(tmp_path):
    prove(Rings(), tmp_path / "prove")
    cover(Rings(), tmp_path / "cover", cycles=20)


@pytest.mark.parametrize("mutant", RINGS)
def test_broken_rings_are_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(Rings(mutated(RingControl, *RINGS[mutant])), tmp_path, cycles=11)
