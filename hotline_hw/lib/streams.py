"""What `amaranth.lib.stream` has not: a skid buffer, and connections that `wiring.connect` does not make."""

from __future__ import annotations

from functools import reduce
from operator import and_

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["SkidBuffer", "fork", "forward"]


class SkidBuffer(wiring.Component):
    """A register slice that cuts every combinational path of a stream, `ready` too. It has two places.

    Ports:
        input, output: Streams of `shape`. `output.valid` is high whenever the buffer holds anything.

    Throughput: a payload a cycle. Latency: one cycle.
    """

    def __init__(self, shape: object) -> None:
        self.shape = shape
        super().__init__({"input": In(stream.Signature(shape)), "output": Out(stream.Signature(shape))})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        skid = Signal(self.shape, reset_less=True)
        skid_valid = Signal()
        free = Signal()  # the output register takes a payload
        m.d.comb += [self.input.ready.eq(~skid_valid), free.eq(self.output.ready | ~self.output.valid)]
        # The skid follows the input as long as it is empty, so its clock enable does not wait for anyone's ready.
        with m.If(~skid_valid):
            m.d.sync += skid.eq(self.input.payload)
        with m.If(free):
            with m.If(skid_valid):
                m.d.sync += self.output.payload.eq(skid)
            with m.Else():
                m.d.sync += self.output.payload.eq(self.input.payload)
        # Written as sums of products, because a register that `free` enables or clears has a LUT more on the way.
        some = self.input.valid | skid_valid
        m.d.sync += [self.output.valid.eq(some | ~free), skid_valid.eq(some & ~free)]
        return m


def forward(m: Module, source, target) -> None:
    """Connects a stream with another, under the condition that holds where it is called."""
    m.d.comb += [
        target.payload.eq(source.payload),
        target.valid.eq(source.valid),
        source.ready.eq(target.ready),
    ]


def fork(m: Module, source, sinks: list) -> None:
    """Hands every payload of a stream to all sinks in the same cycle."""
    m.d.comb += [sink.payload.eq(source.payload) for sink in sinks]
    for sink in sinks:
        others = (other.ready for other in sinks if other is not sink)
        m.d.comb += sink.valid.eq(reduce(and_, others, source.valid))
    m.d.comb += source.ready.eq(reduce(and_, (sink.ready for sink in reversed(sinks))))
