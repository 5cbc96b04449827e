"""WindowCheck: decides whether the accelerator may access a page of memory."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.shell.layouts import window_signature
from hotline_hw.spec.shell_registers import WINDOWS

__all__ = ["PAGE_BITS", "WindowCheck", "share_windows"]

PAGE_BITS = 12
"""log2 of a page's bytes. A burst never leaves a page, so it is inside a window if and only if its page is."""

_LOW = 26  # bits of a page's number that are compared as one; those above as another


class WindowCheck(wiring.Component):
    """Tells whether `page` is in a window with the right to write (if `write` is high) or to read (if it is low).

    A window's pages end at the top of memory, whatever `pages` says. Nothing wraps around.

    Ports:
        windows: payload `window_signature`.
        enable: the pipeline moves.
        page: number of a page of 4 KiB.
        write: the right to write is asked for. Low: the right to read.
        within: for each window, whether the page of LATENCY enabled cycles ago was in it.
        rights: for each window, whether it has that right now.
        inside: any window has both. So a right that is taken away counts at once.

    Throughput: a page a cycle.
    """

    LATENCY = 2

    def __init__(self, windows: int = WINDOWS) -> None:
        super().__init__(
            {
                "windows": In(window_signature()).array(windows),
                "enable": In(1),
                "page": In(52),
                "write": In(1),
                "within": Out(windows),
                "rights": Out(windows),
                "inside": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        within = []
        for index, window in enumerate(self.windows):
            # How far into the window, by halves. The top bit of each is its borrow.
            low = Signal(_LOW + 1, name=f"low{index}")
            high = Signal(52 - _LOW + 1, name=f"high{index}")
            borrow = low[-1]
            # The upper half, less the borrow, against that of `pages`, which has few bits: by one sum.
            most = window.pages[_LOW:]
            near = high[: len(most) + 1]
            far = high[len(most) + 1 :].any() | (borrow & (near == 0))  # or before the window
            beyond = Signal(signed(len(near) + 1), name=f"beyond{index}")  # near - borrow - most
            m.d.comb += beyond.eq((Cat(~borrow, near) + Cat(~borrow, ~Cat(most, Const(0, 2)))) >> 1)
            less = Signal(name=f"less{index}")
            same = Signal(name=f"same{index}")
            low_less = Signal(name=f"low_less{index}")
            with m.If(self.enable):
                m.d.sync += [
                    low.eq(self.page[:_LOW] - window.page[:_LOW]),
                    high.eq(self.page[_LOW:] - window.page[_LOW:]),
                    less.eq(~far & (beyond < 0)),
                    same.eq(~far & (beyond == 0)),
                    low_less.eq(low[:_LOW] < window.pages[:_LOW]),
                ]
            within.append(less | (same & low_less))
        m.d.comb += [
            self.within.eq(Cat(within)),
            self.rights.eq(Cat(Mux(self.write, window.write, window.read) for window in self.windows)),
            self.inside.eq((self.within & self.rights).any()),
        ]
        return m


def share_windows(m: Module, here, there) -> None:
    """Connects the windows of the ports `here` with the ports `there`."""
    for ours, theirs in zip(here, there, strict=True):
        m.d.comb += [getattr(theirs, name).eq(getattr(ours, name)) for name in ("page", "pages", "read", "write")]
