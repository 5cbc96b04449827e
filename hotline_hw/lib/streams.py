"""Connections of `amaranth.lib.stream` interfaces that `wiring.connect` does not make."""

from __future__ import annotations

from functools import reduce
from operator import and_

from amaranth.hdl import Module

__all__ = ["fork", "forward"]


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
