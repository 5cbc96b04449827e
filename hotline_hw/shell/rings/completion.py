"""CompletionWriter: writes a completion, word by word, and reports when it is visible."""

from __future__ import annotations

from amaranth.hdl import Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.shell.layouts import completion_layout, single_word

__all__ = ["CompletionWriter"]

_WORDS = completion_layout().size // 32


class CompletionWriter(wiring.Component):
    """Writes `completion` to the address that the caller has loaded into the channel. It waits until it is visible.

    Each word is taken from `completion` in the cycle before it is offered, word 0 in the cycle after `start`.

    Ports:
        start: begins.
        completion: must stay until done.
        words: payload `single_word`, to the channel.
        channel_idle: the channel has written everything.
        done: high for a cycle.
    """

    def __init__(self) -> None:
        super().__init__(
            {
                "start": In(1),
                "completion": In(completion_layout()),
                "words": Out(stream.Signature(single_word(32))),
                "channel_idle": In(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        place = Signal(range(_WORDS))
        out = self.words.payload
        m.d.comb += out.some.eq(1)
        settle = Signal(range(4))  # until the channel has seen the last word
        with m.FSM():
            with m.State("IDLE"):
                m.d.sync += [place.eq(0), settle.eq(3)]
                with m.If(self.start):
                    m.next = "SEND"
            with m.State("SEND"):
                with m.If(~self.words.valid | self.words.ready):
                    m.d.sync += [
                        self.words.valid.eq(1), place.eq(place + 1),
                        out.word.eq(self.completion.as_value().word_select(place, 32)),
                        out.last.eq(place == _WORDS - 1),
                    ]  # fmt: skip
                    with m.If(self.words.valid & out.last):
                        m.d.sync += self.words.valid.eq(0)
                        m.next = "WAIT"
            with m.State("WAIT"):
                with m.If(settle != 0):
                    m.d.sync += settle.eq(settle - 1)
                with m.Elif(self.channel_idle):
                    m.d.comb += self.done.eq(1)
                    m.next = "IDLE"
        return m
