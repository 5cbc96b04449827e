"""BankGather: puts the banks' answers back into stream order."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.bank.bank import answer_layout, bank_heads
from hotline_hw.core.bank.working import place_layout
from hotline_hw.core.layouts import pass_beat, result_beat, update_lane
from hotline_hw.lib.muxes import choose
from hotline_hw.spec.descriptors import COLD_BANK, COLD_HELD, NOT_LISTED, VALUE_FIELD
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import ROW_FIELD

__all__ = ["BankGather"]

_GROUP = 8  # banks that are chosen from in one cycle
_TOLD = 4  # lanes that are chosen from in one cycle


class BankGather(wiring.Component):
    """Takes passes in the order in which they went to the banks. A pass leaves when all its answers are there.

        input -> next -> current -> fetched -> chosen -> output
                            |          '---- answers of the banks, in groups
                            '-> all its answers are there: the banks put them into registers

    Banks answer in order, so a lane's answer is the `rank`-th oldest of its bank. Re-ordering needs neither addresses
    nor tags, only the pass itself. A lane that the front table answers takes its row's slot from there. When a bank
    says that a row of that table is hot, the table is told its slot.

    Ports:
        input: Stream of `pass_beat`.
        output: Stream of `result_beat`.
        awaited: For each bank, how many answers the next pass waits for.
        advance: That pass becomes the current one.
        ready: For each bank, whether it holds all answers to the current pass.
        fetch: The answers are taken.
        heads: Each bank's answers to the pass that was fetched last.
        slots: Slots of the front table's rows.
        answer_valid, answer_front, answer_slot: A bank said that this row of the front table is hot and has this slot.

    Throughput: one pass a cycle. Latency: five cycles, if the answers are there.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "input": In(stream.Signature(pass_beat(geometry))),
                "output": Out(stream.Signature(result_beat(geometry))),
                "awaited": Out(range(geometry.bank_ports + 1)).array(geometry.banks),
                "advance": Out(1),
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
        lanes = range(g.lanes)
        beats = [Signal(pass_beat(g), name=name, reset_less=True) for name in ("next", "current", "fetched", "chosen")]
        valids = [Signal(name=f"{name}_valid") for name in ("next", "current", "fetched", "chosen")]
        moves = [Signal(name=f"{name}_moves") for name in ("next", "current", "fetched", "chosen")]
        next_, current, fetched, chosen = beats
        m.d.comb += [
            moves[3].eq(~self.output.valid | self.output.ready),
            moves[2].eq(~valids[3] | moves[3]),
            moves[1].eq(self.fetch),
            moves[0].eq(self.advance),
            self.fetch.eq(valids[1] & self.ready.all() & (~valids[2] | moves[2])),
            self.advance.eq(~valids[1] | self.fetch),
            self.input.ready.eq(~valids[0] | self.advance),
        ]
        with m.If(self.input.ready):
            m.d.sync += [valids[0].eq(self.input.valid), next_.eq(self.input.payload)]
            for number, awaited in enumerate(self.awaited):
                m.d.sync += awaited.eq(Mux(self.input.valid, self.input.payload.asked[number], 0))
        with m.If(self.advance):
            m.d.sync += [valids[1].eq(valids[0]), current.eq(next_)]
        with m.If(self.fetch):
            m.d.sync += [valids[2].eq(1), fetched.eq(current)]
        with m.Elif(moves[2]):
            m.d.sync += valids[2].eq(0)

        # Choose: for each lane the answer of its bank, in each group of banks.
        groups = range(0, g.banks, _GROUP)
        answers = [
            [Signal(answer_layout(g), name=f"answer{lane}_{first}", reset_less=True) for first in groups]
            for lane in lanes
        ]
        front_slots = [Signal(g.slot_bits, name=f"front_slot{lane}", reset_less=True) for lane in lanes]
        with m.If(moves[2]):
            m.d.sync += [valids[3].eq(valids[2]), chosen.eq(fetched)]
            for lane in lanes:
                source = fetched.lanes[lane]
                m.d.sync += front_slots[lane].eq(choose(self.slots, source.front))
                for first, answer in zip(groups, answers[lane], strict=True):
                    heads = [head.as_value() for bank in self.heads[first : first + _GROUP] for head in bank]
                    within = source.bank[: (min(g.banks, _GROUP) - 1).bit_length()]
                    at = Cat(source.rank[: (g.bank_ports - 1).bit_length()], within)
                    m.d.sync += answer.as_value().eq(choose(heads, at))

        out = self.output.payload
        told = Signal(g.lanes)  # lanes of the output whose bank told of a row of the front table
        with m.If(moves[3]):
            m.d.sync += [
                self.output.valid.eq(valids[3]), out.learn.eq(chosen.learn), out.classify.eq(chosen.classify),
                out.end.eq(chosen.end),
            ]  # fmt: skip
            for lane in lanes:
                source = chosen.lanes[lane]
                answer = Signal(answer_layout(g), name=f"answer{lane}")
                group = source.bank[(_GROUP - 1).bit_length() :]
                of_groups = [of_group.as_value() for of_group in answers[lane]]
                m.d.comb += answer.as_value().eq(choose(of_groups, group))
                hit = Signal(name=f"hit{lane}")
                m.d.comb += hit.eq(Mux(source.routed, answer.hit, source.fronted))
                m.d.sync += [
                    out.lanes[lane].payload.eq(self._payload(source, hit, answer.slot, front_slots[lane])),
                    out.lanes[lane].valid.eq(source.valid),
                    out.lanes[lane].last.eq(source.last),
                    out.lanes[lane].bad.eq(source.bad),
                    out.lanes[lane].hit.eq(hit),
                    *(out.lanes[lane][name].eq(source[name]) for name in update_lane(g)),
                    out.lanes[lane].fronted.eq(source.fronted & hit),
                    told[lane].eq(source.routed & source.fronted & answer.hit),
                ]
        self._tell(m, told)
        return m

    def _tell(self, m: Module, told: Signal) -> None:
        """Tells the front table of a slot: that of the first lane of four, and then of the first four.

        One lane is enough: it is no loss if the table hears of a row later.
        """
        out = self.output.payload
        told_now = Mux(self.output.valid, told, 0)
        candidates = [
            (told_now[lane], out.lanes[lane].front, out.lanes[lane].payload[: self.geometry.slot_bits])
            for lane in range(self.geometry.lanes)
        ]
        turn = 0
        while turn == 0 or len(candidates) > 1:
            best = []
            for first in range(0, len(candidates), _TOLD):
                group = candidates[first : first + _TOLD]
                valid = Signal(name=f"told{turn}_{first}")
                values = [Signal(len(part), name=f"told{turn}_{first}_{name}", reset_less=True)
                          for name, part in zip(("front", "slot"), group[0][1:], strict=True)]  # fmt: skip
                m.d.sync += valid.eq(Cat(item[0] for item in group).any())
                for item in reversed(group):
                    with m.If(item[0]):
                        m.d.sync += [value.eq(part) for value, part in zip(values, item[1:], strict=True)]
                best.append((valid, *values))
            candidates, turn = best, turn + 1
        m.d.comb += [
            self.answer_valid.eq(candidates[0][0]), self.answer_front.eq(candidates[0][1]),
            self.answer_slot.eq(candidates[0][2]),
        ]  # fmt: skip

    def _payload(self, lane, hit, answer, front_slot):
        """The payload of a lookup. Its slot replaces the row, or with a shell in a miss its place does."""
        row = lane.payload[ROW_FIELD.low : ROW_FIELD.high + 1]
        missed = self._with_place(lane, answer) if self.geometry.working_rows else lane.payload
        slot = Mux(lane.routed, answer[: self.geometry.slot_bits], front_slot)
        found = Cat(slot, Const(0, len(row) - len(slot)), lane.payload[ROW_FIELD.width :])
        return Mux(hit, found, missed)

    def _with_place(self, lane, answer):
        """The payload of a missed lookup. Its row's place (`spec.descriptors`) replaces the row."""
        listed = data.View(place_layout(self.geometry), answer[: place_layout(self.geometry).size])
        bank = Const(0, COLD_HELD.low - COLD_BANK.low) | lane.bank
        place = Cat(listed.number, Const(0, COLD_BANK.low - len(listed.number)), bank[: COLD_BANK.width], listed.held)
        value = Mux(lane.routed & listed.listed, place, NOT_LISTED)
        return Cat(
            value[: VALUE_FIELD.width], Const(0, ROW_FIELD.width - VALUE_FIELD.width), lane.payload[ROW_FIELD.width :]
        )
