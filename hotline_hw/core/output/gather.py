"""BankGather: puts the banks' answers back into stream order."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.bank.bank import bank_heads
from hotline_hw.core.bank.working import place_layout
from hotline_hw.core.layouts import pass_beat, result_beat, select_one, update_lane
from hotline_hw.spec.descriptors import COLD_BANK, COLD_HELD, NOT_LISTED, VALUE_FIELD
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import ROW_FIELD

__all__ = ["BankGather"]


class BankGather(wiring.Component):
    """Takes passes in the order in which they went to the banks. A pass leaves when all its answers are there.

    Banks answer in order, so a lane's answer is the `rank`-th oldest of its bank. Re-ordering needs neither addresses
    nor tags, only the pass itself. A lane that the front table answers takes its row's slot from there. When a bank
    says that a row of that table is hot, the table is told its slot.

    Ports:
        input: Stream of `pass_beat`.
        output: Stream of `result_beat`.
        from_bank: For each bank, the lanes of the next pass that wait for it.
        rank_is: For each rank, the lanes that have it.
        load: That pass becomes the current one.
        ready: For each bank, whether it holds all answers to the current pass.
        fetch: The answers are taken.
        heads: Each bank's oldest answers.
        slots: Slots of the front table's rows.
        answer_valid, answer_front, answer_slot: A bank said that this row of the front table is hot and has this slot.

    Throughput: one pass a cycle. Latency: two cycles once the answers are there.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "input": In(stream.Signature(pass_beat(geometry))),
                "output": Out(stream.Signature(result_beat(geometry))),
                "from_bank": Out(geometry.lanes).array(geometry.banks),
                "rank_is": Out(geometry.lanes).array(geometry.bank_ports),
                "load": Out(1),
                "ready": In(geometry.banks),
                "fetch": Out(1),
                "heads": In(bank_heads(geometry)).array(geometry.banks),
                "slots": In(geometry.slot_bits).array(geometry.front_rows),
                "answer_valid": Out(1),
                "answer_front": Out(geometry.front_bits),
                "answer_slot": Out(geometry.slot_bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        current = Signal(pass_beat(g), reset_less=True)
        current_valid = Signal()
        m.d.comb += [
            self.fetch.eq(current_valid & self.ready.all() & (~self.output.valid | self.output.ready)),
            self.input.ready.eq(~current_valid | self.fetch),
            self.load.eq(self.input.ready & self.input.valid),
        ]
        upcoming = self.input.payload.lanes
        sources = []  # for each lane, its bank in one-hot
        for lane in range(g.lanes):
            source = Signal(g.banks, name=f"source{lane}")
            m.d.comb += source.eq(Mux(upcoming[lane].routed, Const(1, g.banks) << upcoming[lane].bank, 0))
            sources.append(source)
        for bank, lanes_from in enumerate(self.from_bank):
            m.d.comb += lanes_from.eq(Cat(source[bank] for source in sources))
        for rank, lanes_with in enumerate(self.rank_is):
            m.d.comb += lanes_with.eq(Cat(upcoming[lane].rank == rank for lane in range(g.lanes)))
        with m.If(self.input.ready):
            m.d.sync += [current_valid.eq(self.input.valid), current.eq(self.input.payload)]

        out = self.output.payload
        told = Signal(g.lanes)  # lanes of the output whose bank told of a row of the front table
        with m.If(self.fetch):
            m.d.sync += [
                self.output.valid.eq(1),
                out.learn.eq(current.learn),
                out.classify.eq(current.classify),
                out.end.eq(current.end),
            ]
            for lane in range(g.lanes):
                source = current.lanes[lane]
                heads = Signal(bank_heads(g), name=f"heads{lane}")
                with m.Switch(source.bank):
                    for bank, those in enumerate(self.heads):
                        with m.Case(bank):
                            m.d.comb += heads.eq(those)
                answer = heads[source.rank]
                payload = source.payload
                hit = Signal(name=f"hit{lane}")
                m.d.comb += hit.eq(Mux(source.routed, answer.hit, source.fronted))
                if g.working_rows:
                    payload = Mux(hit, payload, self._with_place(source, answer.slot))
                m.d.sync += [
                    out.lanes[lane].payload.eq(payload),
                    out.lanes[lane].valid.eq(source.valid),
                    out.lanes[lane].last.eq(source.last),
                    out.lanes[lane].bad.eq(source.bad),
                    out.lanes[lane].hit.eq(hit),
                    out.lanes[lane].slot.eq(Mux(source.routed, answer.slot, Array(self.slots)[source.front])),
                    *(out.lanes[lane][name].eq(source[name]) for name in update_lane(g)),
                    out.lanes[lane].fronted.eq(source.fronted & hit),
                    told[lane].eq(source.routed & source.fronted & answer.hit),
                ]
        with m.Elif(self.output.ready):
            m.d.sync += self.output.valid.eq(0)

        # One of them is enough: it is no loss if the table hears of a row later.
        first = Signal(g.lanes)
        m.d.comb += first.eq(told & (~told + 1)[: g.lanes])
        m.d.sync += [
            self.answer_valid.eq(self.output.valid & told.any()),
            self.answer_front.eq(select_one(first, [out.lanes[lane].front for lane in range(g.lanes)])),
            self.answer_slot.eq(select_one(first, [out.lanes[lane].slot for lane in range(g.lanes)])),
        ]
        return m

    def _with_place(self, lane, answer):
        """The payload of a missed lookup. Its row's place (`spec.descriptors`) replaces the row."""
        listed = data.View(place_layout(self.geometry), answer[: place_layout(self.geometry).size])
        bank = Const(0, COLD_HELD.low - COLD_BANK.low) | lane.bank
        place = Cat(listed.number, Const(0, COLD_BANK.low - len(listed.number)), bank[: COLD_BANK.width], listed.held)
        value = Mux(lane.routed & listed.listed, place, NOT_LISTED)
        return Cat(
            value[: VALUE_FIELD.width], Const(0, ROW_FIELD.width - VALUE_FIELD.width), lane.payload[ROW_FIELD.width :]
        )
