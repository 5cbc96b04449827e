"""BurstJudge: says of each burst whether the windows allow it."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.lib.streams import SkidBuffer

from .windows import PAGE_BITS, WindowCheck, share_windows

__all__ = ["BurstJudge"]


class BurstJudge(wiring.Component):
    """Passes bursts on in order, beside the check of their pages.

        input --> check --> skid buffer: which windows a burst is in --> rights --> output

    The check has hundreds of registers. They do not wait for what becomes of the burst at `output`.

    Args:
        burst: layout of a burst. `at` is its address, in beats.
        check: an unused WindowCheck, for as many windows as there are.
        write: bursts ask for the right to write, else to read.

    Ports:
        windows: payload `window_signature`.
        input, output: payload `burst`.
        inside: the burst at `output` is in a window that has the right now.
        busy: it holds a burst.

    Throughput: a burst a cycle. Latency: that of the check and a cycle.
    """

    HOLDS = WindowCheck.LATENCY + 2
    """Bursts that it may hold."""

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
        checked = data.StructLayout({"burst": self.layout, "within": len(self.windows)})
        m.submodules.checked = slice_ = SkidBuffer(checked)
        at = self.input.payload.at
        out = slice_.output.payload
        move = Signal()
        valid = Signal(check.LATENCY)
        m.d.comb += [
            move.eq(~valid[-1] | slice_.input.ready), self.input.ready.eq(move), slice_.input.valid.eq(valid[-1]),
            check.enable.eq(move), check.write.eq(self.write), check.page.eq(at[len(at) - (64 - PAGE_BITS) :]),
            slice_.input.payload.within.eq(check.within),
            self.output.valid.eq(slice_.output.valid), self.output.payload.eq(out.burst),
            slice_.output.ready.eq(self.output.ready),
            self.inside.eq((out.within & check.rights).any()),
            self.busy.eq(valid.any() | slice_.output.valid),
        ]  # fmt: skip
        burst = self.input.payload
        stages = [Signal(self.layout, name=f"burst{stage}", reset_less=True) for stage in range(check.LATENCY)]
        with m.If(move):
            m.d.sync += valid.eq(Cat(self.input.valid, valid))
            for stage in stages:
                m.d.sync += stage.eq(burst)
                burst = stage
        m.d.comb += slice_.input.payload.burst.eq(burst)
        return m
