"""BurstJudge: says of each burst whether the windows allow it."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from .windows import PAGE_BITS, WindowCheck, share_windows

__all__ = ["BurstJudge"]


class BurstJudge(wiring.Component):
    """Passes bursts on in order, beside the check of their pages.

    Args:
        burst: layout of a burst. `at` is its address, in beats.
        check: an unused WindowCheck, for as many windows as there are.
        write: bursts ask for the right to write, else to read.

    Ports:
        windows: payload `window_signature`.
        input, output: payload `burst`.
        inside: the burst at `output` is in a window that has the right now.
        busy: it holds a burst.

    Throughput: a burst a cycle. Latency: that of the check. `input.ready` follows `output.ready` in the same cycle.
    """

    def __init__(self, burst: data.StructLayout, check: WindowCheck, *, write: bool) -> None:
        self.layout, self.check, self.write = burst, check, write
        super().__init__(
            {
                "windows": check.signature.members["windows"],
                "input": In(stream.Signature(burst)),
                "output": Out(stream.Signature(burst)),
                "inside": Out(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.check = check = self.check
        share_windows(m, self.windows, check.windows)
        at = self.input.payload.at
        move = Signal()
        valid = Signal(check.LATENCY)
        m.d.comb += [
            move.eq(~valid[-1] | self.output.ready), self.input.ready.eq(move), self.output.valid.eq(valid[-1]),
            check.enable.eq(move), check.write.eq(self.write), check.page.eq(at[len(at) - (64 - PAGE_BITS) :]),
            self.inside.eq(check.inside), self.busy.eq(valid.any()),
        ]  # fmt: skip
        burst = self.input.payload
        stages = [Signal(self.layout, name=f"burst{stage}", reset_less=True) for stage in range(check.LATENCY)]
        with m.If(move):
            m.d.sync += valid.eq(Cat(self.input.valid, valid))
            for stage in stages:
                m.d.sync += stage.eq(burst)
                burst = stage
        m.d.comb += self.output.payload.eq(burst)
        return m
