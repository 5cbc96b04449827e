"""BankScatter: hands a beat's lookups to the banks of their keys, in stream order."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import hashed_beat, pass_beat
from hotline_hw.spec.params import Geometry

__all__ = ["BankScatter"]


class BankScatter(wiring.Component):
    """Splits a beat into passes and sends each to the banks.

    A bank takes up to `bank_ports` lookups of a beat at once. If a beat has more for one bank, it is cut before the
    first lookup that is too many. So a pass is always a run of the stream, and a bank sees its lookups in stream order.
    This makes the tracker's state independent of timing. A pass goes once every bank that it names has room (`room`).

    Ports:
        input: Stream of `hashed_beat`.
        output: Stream of `pass_beat`, to BankGather. It is valid in the cycle in which the banks take the pass
            (`fire`).
        to_bank: For each bank, the lanes of `output` that go to it.
        rank_is: For each rank, the lanes that have it.
        tags: For each lane, its mixed key above the bank.
        fire: The pass goes.
        room: For each bank, whether it can take its lookups of the pass.
        split: Event pulse for the counters. A beat was cut.
        stalled: Event pulse for the counters. A full bank held a pass back.

    Throughput: one pass a cycle. Latency: two cycles.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "input": In(stream.Signature(hashed_beat(geometry))),
                "output": Out(stream.Signature(pass_beat(geometry))),
                "to_bank": Out(geometry.lanes).array(geometry.banks),
                "rank_is": Out(geometry.lanes).array(geometry.bank_ports),
                "tags": Out(geometry.tag_bits).array(geometry.lanes),
                "fire": Out(1),
                "room": In(geometry.banks),
                "split": Out(1),
                "stalled": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        lanes = range(g.lanes)

        # Stage 1: the beat, and its lanes that have not gone yet.
        beat = Signal(hashed_beat(g), reset_less=True)
        beat_valid = Signal()
        waiting = Signal(g.lanes)
        source = beat.beat
        bank = [beat.mixed[lane][: g.bank_bits] for lane in lanes]
        routed = Signal(g.lanes)
        m.d.comb += routed.eq(waiting & Cat(~source.lanes[lane].bad for lane in lanes))

        # A lane's rank: how many lanes before it go to the same bank in this pass.
        ranks = []
        overflow = Signal(g.lanes)
        for lane in lanes:
            earlier = Signal(max(1, lane), name=f"earlier{lane}")
            rank = Signal(range(g.lanes), name=f"rank{lane}")
            m.d.comb += earlier.eq(Cat(routed[other] & (bank[other] == bank[lane]) for other in range(lane)))
            m.d.comb += rank.eq(sum((earlier[other] for other in range(lane)), Const(0)))
            m.d.comb += overflow[lane].eq(routed[lane] & (rank >= g.bank_ports))
            ranks.append(rank)
        goes = Signal(g.lanes)
        for lane in lanes:
            m.d.comb += goes[lane].eq(waiting[lane] & ~overflow[: lane + 1].any())
        targets = []  # for each lane, its bank in one-hot
        for lane in lanes:
            target = Signal(g.banks, name=f"target{lane}")
            m.d.comb += target.eq(Mux(goes[lane] & routed[lane], Const(1, g.banks) << bank[lane], 0))
            targets.append(target)
        done = Signal()
        m.d.comb += done.eq(~overflow.any())

        # Stage 2: a pass on its way into the banks.
        sent = Signal(pass_beat(g), reset_less=True)
        sent_valid = Signal()
        all_room = Signal()
        advance = Signal()
        m.d.comb += [
            all_room.eq(self.room.all()),
            self.fire.eq(sent_valid & all_room & self.output.ready),
            self.output.valid.eq(sent_valid & all_room),
            self.output.payload.eq(sent),
            advance.eq(~sent_valid | self.fire),
            self.input.ready.eq(~beat_valid | (advance & done)),
            self.split.eq(beat_valid & advance & ~done),
            self.stalled.eq(sent_valid & ~all_room),
        ]
        m.d.comb += [self.output.payload.lanes[lane].tag.eq(self.tags[lane]) for lane in lanes]
        with m.If(advance):
            m.d.sync += [
                sent_valid.eq(beat_valid),
                sent.learn.eq(source.learn),
                sent.classify.eq(source.classify),
                sent.end.eq(source.end & done),
                waiting.eq(waiting & ~goes),
            ]
            for number, lanes_to in enumerate(self.to_bank):
                m.d.sync += lanes_to.eq(Cat(target[number] for target in targets))
            for number, lanes_with in enumerate(self.rank_is):
                m.d.sync += lanes_with.eq(Cat(rank == number for rank in ranks))
            for lane in lanes:
                m.d.sync += [
                    sent.lanes[lane].payload.eq(source.lanes[lane].payload),
                    sent.lanes[lane].valid.eq(goes[lane]),
                    sent.lanes[lane].last.eq(goes[lane] & source.lanes[lane].last),
                    sent.lanes[lane].bad.eq(goes[lane] & source.lanes[lane].bad),
                    sent.lanes[lane].routed.eq(goes[lane] & routed[lane]),
                    sent.lanes[lane].bank.eq(bank[lane]),
                    sent.lanes[lane].rank.eq(ranks[lane]),
                    self.tags[lane].eq(beat.mixed[lane][g.bank_bits :]),
                ]
        with m.If(self.input.ready):
            m.d.sync += [
                beat_valid.eq(self.input.valid),
                beat.eq(self.input.payload),
                waiting.eq(Cat(self.input.payload.beat.lanes[lane].valid for lane in lanes)),
            ]
        return m
