"""FrontGains: what the hot rows of the front table gain in a mini-batch."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import WEIGHT_BITS

__all__ = ["FrontGains"]

_GROUP = 4  # lanes whose weights are added in one stage


class FrontGains(wiring.Component):
    """Adds up weights, by row. Sums saturate at the largest counter.

        lanes -> sums of four lanes -> sum of the beat -> gain of the row

    When a mini-batch ends, the gains are handed out one after another, in the order of rows, and become zero.

    Ports:
        valid: A beat to learn from comes. Low while `stop`.
        fronted, front, weights: For each lane, whether its lookup is of a hot row of the table, which, and its weight.
        end: A beat comes that ends its mini-batch. Without `valid` nothing is handed out, as nothing was learned.
        stop: No beat may come, as gains are being handed out.
        go: The row that is shown is handed out. It has no effect until all sums are there.
        gain, bank, tag: That row, and what it gained. Zero: nothing needs to be done, or sums are not there yet.
        keys: Mixed keys of the table's rows.
        busy: A beat is here, or gains are being handed out.
        over: Pulse. A mini-batch has ended, and all its gains are handed out.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = g = geometry
        super().__init__(
            {
                "valid": In(1),
                "fronted": In(g.lanes),
                "front": In(g.front_bits).array(g.lanes),
                "weights": In(WEIGHT_BITS).array(g.lanes),
                "end": In(1),
                "stop": Out(1),
                "go": In(1),
                "gain": Out(g.weight_bits),
                "bank": Out(g.bank_bits),
                "tag": Out(g.tag_bits),
                "keys": In(g.key_bits).array(g.front_rows),
                "busy": Out(1),
                "over": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        lanes, rows = range(g.lanes), range(g.front_rows)
        largest = (1 << g.counter_bits) - 1
        groups = [range(low, min(low + _GROUP, g.lanes)) for low in range(0, g.lanes, _GROUP)]
        most = g.lanes * ((1 << WEIGHT_BITS) - 1)

        # Sums of a beat. The pipeline never waits.
        under_way = Signal(3)
        m.d.sync += under_way.eq(Cat(self.valid, under_way))
        weights = [Signal(WEIGHT_BITS, name=f"weight{lane}") for lane in lanes]
        gains = [Signal(g.counter_bits, name=f"gain{row}") for row in rows]
        handed = Signal(g.front_rows)
        m.d.sync += [there.eq(here) for there, here in zip(weights, self.weights, strict=True)]
        for row in rows:
            mine = Signal(g.lanes, name=f"mine{row}")
            parts = [Signal(range(most + 1), name=f"part{row}_{index}") for index in range(len(groups))]
            total = Signal(range(most + 1), name=f"total{row}")
            sum_ = Signal(range(most + largest + 1), name=f"sum{row}")
            m.d.sync += [
                mine.eq(Cat(self.fronted[lane] & (self.front[lane] == row) for lane in lanes)),
                *(part.eq(sum((Mux(mine[lane], weights[lane], 0) for lane in group), Const(0)))
                  for part, group in zip(parts, groups, strict=True)),
                total.eq(Mux(under_way[1], sum(parts, Const(0)), 0)),  # `valid` comes late, so it counts here
            ]  # fmt: skip
            m.d.comb += sum_.eq(gains[row] + total)
            m.d.sync += gains[row].eq(Mux(sum_ > largest, largest, sum_))
            with m.If(handed[row]):
                m.d.sync += gains[row].eq(0)

        # Handing out
        at = Signal(g.front_bits)
        ready = Signal()
        key = Array(self.keys)[at]
        m.d.comb += [
            ready.eq(self.stop & (under_way == 0)),
            self.gain.eq(Mux(ready, Array(gains)[at], 0)),
            Cat(self.bank, self.tag).eq(key),
            handed.eq(Mux(ready & self.go, Const(1, g.front_rows) << at, 0)),
            self.busy.eq(self.stop | under_way.any()),
        ]
        with m.If(self.end & ~self.valid):
            m.d.comb += self.over.eq(1)
        with m.Elif(self.end):
            m.d.sync += self.stop.eq(1)
        with m.If(ready & self.go):
            m.d.sync += at.eq(at + 1)
            with m.If(at == g.front_rows - 1):
                m.d.comb += self.over.eq(1)
                m.d.sync += self.stop.eq(0)
        return m
