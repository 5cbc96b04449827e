"""RingControl: the indexes of both rings, doorbells, and when completions interrupt."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.spec.shell_registers import MAX_RING_LOG2

__all__ = ["INDEX_BITS", "RingControl"]

INDEX_BITS = 16
"""Ring indexes run freely. The entry is the index modulo the size."""


class RingControl(wiring.Component):
    """Keeps producer and consumer indexes of the descriptor ring and of the completion ring.

    The ring's size limits the descriptors that are available and the completions that wait. A doorbell beyond that is
    refused. A doorbell that takes descriptors back is refused too, because they may be on their way. `room` tells
    whether a completion may be written.

    Ports:
        log2_size: log2 of the entries of either ring. It changes while `clear` is high, two cycles before that ends.
        clear: all indexes become 0.
        producer_write, cpl_consumer_write, write_data: the host's doorbells. No two come in cycles one after the other.
            They are carried out a cycle later.
        doorbell_error: a doorbell was refused.
        producer, consumer, cpl_producer, cpl_consumer: the indexes.
        available: a descriptor may be fetched.
        room: a completion may be written.
        entry: entry of the next descriptor.
        cpl_entry: entry of the next completion.
        generation: generation of the next completion.
        fetched: a descriptor came out of the ring.
        completed: a completion was written. No two come in cycles one after the other.
        urgent: the interrupt comes with that completion.
        coalesce: the interrupt comes when so many completions wait. 0 acts as 1.
        delay: it also comes so many clock cycles, and two, after the first that waits. 0: time does not count.
        interrupt: high for a cycle.
    """

    def __init__(self) -> None:
        index = INDEX_BITS
        super().__init__(
            {
                "log2_size": In(range(MAX_RING_LOG2 + 1)),
                "clear": In(1),
                "producer_write": In(1),
                "cpl_consumer_write": In(1),
                "write_data": In(32),
                "doorbell_error": Out(1),
                "producer": Out(index),
                "consumer": Out(index),
                "cpl_producer": Out(index),
                "cpl_consumer": Out(index),
                "available": Out(1),
                "room": Out(1),
                "entry": Out(MAX_RING_LOG2),
                "cpl_entry": Out(MAX_RING_LOG2),
                "generation": Out(1),
                "fetched": In(1),
                "completed": In(1),
                "urgent": In(1),
                "coalesce": In(16),
                "delay": In(32),
                "interrupt": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bits = INDEX_BITS
        # Descriptors that are available and completions that wait are counted, so that no difference is on the way.
        ready = Signal(bits)
        waiting = Signal(bits)
        size = Signal(bits, init=1)
        mask = Signal(bits)
        goal = Signal(bits)  # one less than so many completions interrupt
        m.d.sync += [
            size.eq(1 << self.log2_size), mask.eq((1 << self.log2_size) - 1),
            goal.eq(Mux(self.coalesce == 0, 0, self.coalesce - 1)),
        ]  # fmt: skip
        # What a doorbell asks for is found in one cycle, and judged in the next.
        new = Signal(bits)
        beyond = Signal()
        rung = Signal()
        freed = Signal()
        cleared = Signal()
        more = Signal(bits)
        fewer = Signal(bits)
        most_more = Signal(bits)
        most_fewer = Signal(bits)
        m.d.comb += [
            self.available.eq(ready != 0),
            self.room.eq(waiting < size),
            self.entry.eq(self.consumer & mask),
            self.cpl_entry.eq(self.cpl_producer & mask),
            self.generation.eq((self.cpl_producer & size) == 0),
        ]

        m.d.sync += [
            rung.eq(self.producer_write), freed.eq(self.cpl_consumer_write), cleared.eq(self.clear),
            new.eq(self.write_data),
            beyond.eq(self.write_data[bits:].any()),
            more.eq(self.write_data - self.producer), most_more.eq(size - ready),
            fewer.eq(self.write_data - self.cpl_consumer), most_fewer.eq(waiting),
        ]  # fmt: skip
        timer = Signal(32)
        late = Signal()  # the timer has reached the delay
        told = Signal()
        due = Signal()
        timed = Signal()
        some = Signal()  # completions wait, as of the cycle before
        m.d.comb += [timed.eq(self.delay != 0), due.eq(some & late & ~told)]
        m.d.sync += some.eq(waiting != 0)
        with m.If(some):
            m.d.sync += [
                timer.eq(Mux(late | ~timed, timer, timer + 1)), late.eq(timed & (timer >= self.delay)),
                told.eq(told | due),
            ]  # fmt: skip
        m.d.sync += [ready.eq(ready - self.fetched), waiting.eq(waiting + self.completed)]
        with m.If(rung):
            with m.If(beyond | (more > most_more)):
                m.d.comb += self.doorbell_error.eq(1)
            with m.Elif(~cleared):
                m.d.sync += [self.producer.eq(new), ready.eq(ready + more - self.fetched)]
        with m.If(freed):
            with m.If(beyond | (fewer > most_fewer)):
                m.d.comb += self.doorbell_error.eq(1)
            with m.Elif(~cleared):
                m.d.sync += [self.cpl_consumer.eq(new), waiting.eq(waiting - fewer + self.completed)]
                m.d.sync += [timer.eq(0), late.eq(0), told.eq(0), some.eq(0)]
        m.d.sync += [
            self.consumer.eq(self.consumer + self.fetched),
            self.cpl_producer.eq(self.cpl_producer + self.completed),
        ]

        with m.If(self.clear):
            m.d.sync += [index.eq(0) for index in (self.producer, self.consumer, self.cpl_producer, self.cpl_consumer)]
            m.d.sync += [ready.eq(0), waiting.eq(0), timer.eq(0), late.eq(0), told.eq(0), some.eq(0)]

        # A completion interrupts if it makes the number full. The delay interrupts once.
        enough = Signal()  # as of the cycle before
        m.d.sync += enough.eq(waiting >= goal)  # 0 and 1 are at the first
        m.d.comb += self.interrupt.eq((self.completed & (self.urgent | enough)) | due)
        return m
