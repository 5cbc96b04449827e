"""WindowCheck: decides whether the accelerator may access a page of memory."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.shell.layouts import window_signature
from hotline_hw.spec.shell_registers import WINDOWS

__all__ = ["PAGE_BITS", "WindowCheck", "share_windows"]

PAGE_BITS = 12
"""log2 of a page's bytes. A burst never leaves a page, so it is inside a window if and only if its page is."""


class WindowCheck(wiring.Component):
    """Tells whether `page` is in a window with the right to write (if `write` is high) or to read (if it is low).

    A window's pages end at the top of memory, whatever `pages` says. Nothing wraps around.

    Ports:
        windows: payload `window_signature`.
        page: number of a page of 4 KiB.
        write: the right to write is asked for. Low: the right to read.
        inside: the page is in a window with that right.

    Latency: none, combinational.
    """

    def __init__(self, windows: int = WINDOWS) -> None:
        super().__init__(
            {"windows": In(window_signature()).array(windows), "page": In(52), "write": In(1), "inside": Out(1)}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        within = []
        for index, window in enumerate(self.windows):
            beyond = Signal(53, name=f"beyond{index}")  # how far into the window; the top bit: before it
            right = Mux(self.write, window.write, window.read)
            m.d.comb += beyond.eq(self.page - window.page)
            within.append(right & ~beyond[-1] & (beyond[:-1] < window.pages))
        m.d.comb += self.inside.eq(Cat(within).any())
        return m


def share_windows(m: Module, here, there) -> None:
    """Connects the windows of the ports `here` with the ports `there`."""
    for ours, theirs in zip(here, there, strict=True):
        m.d.comb += [getattr(theirs, name).eq(getattr(ours, name)) for name in ("page", "pages", "read", "write")]
