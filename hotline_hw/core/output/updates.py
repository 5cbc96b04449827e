"""UpdateScatter: takes verdicts back to the banks, where the tracker learns from them."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import verdict_beat
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import WEIGHT_BITS, WEIGHTS

__all__ = ["UpdateScatter"]


class UpdateScatter(wiring.Component):
    """Gives every lookup its weight and hands it to its bank, if the tracker learns from its mini-batch.

    The weight depends on how many of the sample's other lookups missed. A beat is a pass that once went to the banks.
    It holds no more for a bank than that takes at once, and needs no cutting. It goes once every bank that it names has
    room. Banks see their updates in stream order.

    Ports:
        input: Stream of `verdict_beat`.
        weights: As in `regmap`.
        to_bank: For each bank, the lanes that go to it.
        rank_is: For each rank, the lanes that have it.
        tags, lane_weights: Each lane's update.
        fire: The beat goes.
        room: For each bank, whether it can take its updates of the beat.
        busy: A beat is here.

    Throughput: one beat a cycle. Latency: one cycle.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "input": In(stream.Signature(verdict_beat(geometry))),
                "weights": In(WEIGHT_BITS).array(len(WEIGHTS)),
                "to_bank": Out(geometry.lanes).array(geometry.banks),
                "rank_is": Out(geometry.lanes).array(geometry.bank_ports),
                "tags": Out(geometry.tag_bits).array(geometry.lanes),
                "lane_weights": Out(WEIGHT_BITS).array(geometry.lanes),
                "fire": Out(1),
                "room": In(geometry.banks),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        beat = self.input.payload
        held = Signal()
        weights = Array(self.weights)
        m.d.comb += [
            self.fire.eq(held & self.room.all()),
            self.input.ready.eq(~held | self.fire),
            self.busy.eq(held),
        ]
        with m.If(self.input.ready):
            m.d.sync += held.eq(self.input.valid & beat.learn)
            targets = []
            for lane in range(g.lanes):
                source = beat.lanes[lane]
                others = Signal(range(len(WEIGHTS) + 1), name=f"others{lane}")  # 0 to 16: 16 counts as 15
                target = Signal(g.banks, name=f"target{lane}")
                m.d.comb += [
                    others.eq(source.misses - ~source.hit),
                    target.eq(Mux(source.routed, Const(1, g.banks) << source.bank, 0)),
                ]
                targets.append(target)
                m.d.sync += [
                    self.tags[lane].eq(source.tag),
                    self.lane_weights[lane].eq(weights[Mux(others[-1], len(WEIGHTS) - 1, others[:-1])]),
                ]
            for bank, lanes_to in enumerate(self.to_bank):
                m.d.sync += lanes_to.eq(Cat(target[bank] for target in targets))
            for rank, lanes_with in enumerate(self.rank_is):
                m.d.sync += lanes_with.eq(Cat(beat.lanes[lane].rank == rank for lane in range(g.lanes)))
        return m
