"""UpdateScatter: takes verdicts back to the banks, where the tracker learns from them."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import verdict_beat
from hotline_hw.lib.streams import SkidBuffer
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import WEIGHT_BITS, WEIGHTS

from .gains import FrontGains

__all__ = ["UpdateScatter"]

_GAIN = ("gain", "bank", "tag")


class UpdateScatter(wiring.Component):
    """Gives every lookup its weight and hands it to its bank, if the tracker learns from its mini-batch.

        input -> other misses -> weights -> updates of the banks
                                    '-----> gains of the front table's rows --> the same, at the end

    The weight depends on how many of the sample's other lookups missed. A beat is a pass that once went to the banks.
    It holds no more for a bank than that takes at once, and needs no cutting. It goes once every bank that it names has
    room. Banks see their updates in stream order.

    What hot rows of the front table gain is added up. It goes to their banks when the mini-batch ends, behind all its
    other updates and before those of the next one. A skid buffer is in between: which row comes next does not wait for
    the banks' room in the same cycle.

    Ports:
        input: Stream of `verdict_beat`.
        weights: As in `regmap`.
        keys: Mixed keys of the front table's rows.
        to_bank: For each bank, the lanes that go to it.
        rank_is: For each rank, the lanes that have it.
        tags, lane_weights, hot: Each lane's update, and whether its key is hot.
        load: That beat becomes the one that waits, and the banks choose their updates.
        fire: The beat that waits goes.
        room: For each bank, whether it can take its updates of it.
        busy: A beat is here, or a gain that has not gone.
        over: Pulse. A mini-batch has ended, and nothing overtakes its updates.

    Throughput: one beat a cycle; `front_rows` and a few cycles more for each mini-batch that is learned from. Latency:
    three cycles.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = g = geometry
        super().__init__(
            {
                "input": In(stream.Signature(verdict_beat(g))),
                "weights": In(WEIGHT_BITS).array(len(WEIGHTS)),
                "keys": In(g.key_bits).array(g.front_rows),
                "to_bank": Out(g.lanes).array(g.banks),
                "rank_is": Out(g.lanes).array(g.bank_ports),
                "tags": Out(g.tag_bits).array(g.lanes),
                "lane_weights": Out(g.weight_bits).array(g.lanes),
                "hot": Out(g.lanes),
                "load": Out(1),
                "fire": Out(1),
                "room": In(g.banks),
                "busy": Out(1),
                "over": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        lanes = range(g.lanes)
        beat = self.input.payload
        weights = Array(self.weights)
        m.submodules.gains = gains = FrontGains(g)
        counted_valid = Signal()
        held = Signal()  # updates are there for the banks to choose from
        waits = Signal()  # the banks have chosen their updates
        free = Signal()
        move = Signal()  # what was counted moves on
        m.submodules.given = given = SkidBuffer(data.StructLayout({name: len(getattr(gains, name)) for name in _GAIN}))
        m.d.comb += [
            self.fire.eq(waits & self.room.all()),
            self.load.eq(~waits | self.fire),
            free.eq(~held | self.load),
            move.eq(free & ~gains.stop & ~given.output.valid),
            self.input.ready.eq(~counted_valid | move),
            *(given.input.payload[name].eq(getattr(gains, name)) for name in _GAIN),
            given.input.valid.eq(gains.gain != 0), gains.go.eq(given.input.ready), given.output.ready.eq(free),
            self.busy.eq(counted_valid | held | waits | gains.busy | given.output.valid),
        ]  # fmt: skip
        with m.If(self.load):
            m.d.sync += waits.eq(held)

        # Count the others.
        counted = Signal(verdict_beat(g), reset_less=True)
        others = [Signal(range(len(WEIGHTS)), name=f"others{lane}") for lane in lanes]
        with m.If(self.input.ready):
            m.d.sync += [counted_valid.eq(self.input.valid & (beat.learn | beat.end)), counted.eq(beat)]
        for lane in lanes:
            source = beat.lanes[lane]
            most = Signal(range(len(WEIGHTS) + 1), name=f"most{lane}")  # 0 to 16: 16 counts as 15
            m.d.comb += most.eq(source.misses - ~source.hit)
            with m.If(self.input.ready):
                m.d.sync += others[lane].eq(Mux(most[-1], len(WEIGHTS) - 1, most[:-1]))

        # Weigh. Then a beat waits for room, and the gains are added up.
        learns = Signal()
        m.d.comb += [
            learns.eq(counted_valid & counted.learn),
            gains.valid.eq(learns & move),
            gains.end.eq(counted_valid & counted.end & move),
            self.over.eq(gains.over),
            *(there.eq(here) for there, here in zip(gains.keys, self.keys, strict=True)),
        ]
        lane_weights = []
        for lane in lanes:
            source = counted.lanes[lane]
            weight = Signal(WEIGHT_BITS, name=f"weight{lane}")
            m.d.comb += [
                weight.eq(weights[others[lane]]),
                gains.fronted[lane].eq(source.fronted), gains.front[lane].eq(source.front),
                gains.weights[lane].eq(weight),
            ]  # fmt: skip
            lane_weights.append(weight)
        with m.If(move):
            m.d.sync += held.eq(learns)
            for lane in lanes:
                source = counted.lanes[lane]
                m.d.sync += [
                    self.tags[lane].eq(source.tag),
                    # A lookup whose gain is kept leaves no gap among the ranks of its bank. Weight 0 changes nothing.
                    self.lane_weights[lane].eq(Mux(source.fronted, 0, lane_weights[lane])),
                    self.hot[lane].eq(source.hit),
                ]
            for bank, lanes_to in enumerate(self.to_bank):
                m.d.sync += lanes_to.eq(
                    Cat(counted.lanes[lane].routed & (counted.lanes[lane].bank == bank) for lane in lanes)
                )
            for rank, lanes_with in enumerate(self.rank_is):
                m.d.sync += lanes_with.eq(Cat(counted.lanes[lane].rank == rank for lane in lanes))
        with m.Elif(free):  # a row's gain, in lane 0
            gain = given.output.payload
            m.d.sync += [
                held.eq(given.output.valid), self.lane_weights[0].eq(gain.gain), self.tags[0].eq(gain.tag),
                self.hot[0].eq(1),
            ]  # fmt: skip
            for bank, lanes_to in enumerate(self.to_bank):
                m.d.sync += lanes_to.eq(gain.bank == bank)
            for rank, lanes_with in enumerate(self.rank_is):
                m.d.sync += lanes_with.eq(int(rank == 0))
        return m
