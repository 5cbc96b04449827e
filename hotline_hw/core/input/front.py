"""FrontTable: answers for the hottest rows in front of the banks."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import encode, fronted_beat, hashed_beat
from hotline_hw.spec.params import Geometry

__all__ = ["FrontTable"]

_CHUNKS = 3  # that a key is compared in


class FrontTable(wiring.Component):
    """Compares every lane's key with the keys of the table.

        input -> compare in chunks -> match -> index -> output
          '---> a mini-batch in phase FRONT is loaded, once all before it is over

    A row that is in almost every sample would make its bank the bottleneck, as a bank takes one lookup a cycle.
    Software names such rows with a mini-batch in phase FRONT. A row's slot is learned from the first answer of its bank
    that says hot. From then on the row is `known`, and no bank is asked. No answer depends on that, as hot bits and
    slots change with SELECT alone, which makes the table forget slots.

    A mini-batch in phase FRONT waits here until all before it is over, so no answer for an old row can come later.
    Then its keys are compared and stored one by one. What goes on is one empty beat that ends the mini-batch.

    Ports:
        input: Stream of `hashed_beat`.
        output: Stream of `fronted_beat`, in order.
        clear: The table becomes empty.
        forget: No row is known any more. With `clear` and `forget` no lookup may be in flight.
        answer_valid, answer_front, answer_slot: A bank answered: this row of the table is hot and has this slot.
        over: Pulse. A mini-batch has ended here, all its answers and all its updates have gone by.
        keys: The mixed keys of the table's rows.
        slots: The slots of its known rows.
        too_many: Error pulse. A key found no place.

    Throughput: one beat a cycle. Latency: three cycles. A mini-batch in phase FRONT takes three cycles for each lane of
    its beats, after the wait.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = g = geometry
        super().__init__(
            {
                "input": In(stream.Signature(hashed_beat(g))),
                "output": Out(stream.Signature(fronted_beat(g))),
                "clear": In(1),
                "forget": In(1),
                "answer_valid": In(1),
                "answer_front": In(g.front_bits),
                "answer_slot": In(g.slot_bits),
                "over": In(1),
                "keys": Out(g.key_bits).array(g.front_rows),
                "slots": Out(g.slot_bits).array(g.front_rows),
                "too_many": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        rows = range(g.front_rows)
        move = Signal()  # the pipeline moves
        loaded = Signal()  # the beat at the input has been loaded
        accepted = Signal()
        beat = self.input.payload.beat
        m.d.comb += [
            move.eq(~self.output.valid | self.output.ready),
            self.input.ready.eq(move & (~beat.front | loaded)),
            accepted.eq(self.input.valid & self.input.ready),
        ]

        # Mini-batches that are under way between here and the updates.
        under_way = Signal(16)
        quiet = Signal()
        ends = Signal()
        m.d.comb += ends.eq(accepted & beat.end)
        # What ends in this cycle is under way in the next: a FRONT right behind it must wait.
        m.d.sync += [under_way.eq(under_way + ends - self.over), quiet.eq((under_way == 0) & ~ends)]
        used = Signal(g.front_rows)
        renew = Signal()
        self._load(m, used, renew, quiet, accepted, loaded)

        known = Signal(g.front_rows)
        with m.If(self.answer_valid):
            m.d.sync += known.bit_select(self.answer_front, 1).eq(1)
            for row in rows:
                with m.If(self.answer_front == row):
                    m.d.sync += self.slots[row].eq(self.answer_slot)
        with m.If(self.clear | self.forget | renew):
            m.d.sync += known.eq(0)
        with m.If(self.clear | renew):
            m.d.sync += used.eq(0)
        self._match(m, move, accepted, used, known)
        return m

    def _load(self, m: Module, used: Signal, renew: Signal, quiet: Signal, accepted: Signal, loaded: Signal) -> None:
        """Puts the keys of a beat in phase FRONT into the table, lane by lane. Then the beat is `loaded`.

        With `renew` a mini-batch begins, and the table must become empty.
        """
        g = self.geometry
        beat, mixed = self.input.payload.beat, self.input.payload.mixed
        fresh = Signal(init=1)  # the next such beat begins a mini-batch
        at = Signal(g.lanes, init=1)  # the lane, one-hot
        key = Signal(g.key_bits)
        key_valid = Signal()
        same = Signal(g.front_rows)
        free = Signal(g.front_rows)  # the first free place, one-hot
        m.d.comb += free.eq(~used & (used + 1)[: g.front_rows])
        with m.FSM():
            with m.State("WAIT"):
                with m.If(self.input.valid & beat.front & quiet):
                    m.d.comb += renew.eq(fresh)
                    m.next = "PICK"
            with m.State("PICK"):
                m.d.sync += key_valid.eq(0)
                for lane in range(g.lanes):
                    with m.If(at[lane]):
                        m.d.sync += [
                            key.eq(mixed[lane]), key_valid.eq(beat.lanes[lane].valid & ~beat.lanes[lane].bad),
                        ]  # fmt: skip
                m.next = "COMPARE"
            with m.State("COMPARE"):
                m.d.sync += same.eq(Cat(used[row] & (self.keys[row] == key) for row in range(g.front_rows)))
                m.next = "STORE"
            with m.State("STORE"):
                with m.If(key_valid & ~same.any()):
                    m.d.comb += self.too_many.eq(used.all())
                    m.d.sync += used.eq(used | free)
                    for row in range(g.front_rows):
                        with m.If(free[row]):
                            m.d.sync += self.keys[row].eq(key)
                m.d.sync += at.eq(at.rotate_left(1))
                m.next = "PICK"
                with m.If(at[-1]):
                    m.next = "LOADED"
            with m.State("LOADED"):
                m.d.comb += loaded.eq(1)
                with m.If(accepted):
                    m.d.sync += fresh.eq(beat.end)
                    m.next = "WAIT"

    def _match(self, m: Module, move: Signal, accepted: Signal, used: Signal, known: Signal) -> None:
        """The three stages in which lanes are compared with the table."""
        g = self.geometry
        lanes, rows = range(g.lanes), range(g.front_rows)
        beat = self.input.payload.beat
        width = -(-g.key_bits // _CHUNKS)
        bounds = [slice(low, low + width) for low in range(0, g.key_bits, width)]

        comes = Signal()  # a beat in phase FRONT goes on only if it ends its mini-batch, as an empty one
        asks = Signal(g.lanes)
        m.d.comb += [
            comes.eq(accepted & (~beat.front | beat.end)),
            asks.eq(Mux(beat.front, 0, Cat(beat.lanes[lane].valid for lane in lanes))),
        ]
        compared_valid = Signal()
        compared = Signal(hashed_beat(g), reset_less=True)
        equal = [[Signal(len(bounds), name=f"equal{lane}_{row}", reset_less=True) for row in rows] for lane in lanes]
        matched_valid = Signal()
        matched = Signal(hashed_beat(g), reset_less=True)
        matches = [Signal(g.front_rows, name=f"matches{lane}", reset_less=True) for lane in lanes]
        out = self.output.payload
        with m.If(move):
            m.d.sync += [
                compared_valid.eq(comes), compared.eq(self.input.payload),
                matched_valid.eq(compared_valid), matched.eq(compared),
                self.output.valid.eq(matched_valid), out.hashed.eq(matched),
            ]  # fmt: skip
            for lane in lanes:
                mixed, source = self.input.payload.mixed[lane], compared.beat.lanes[lane]
                m.d.sync += compared.beat.lanes[lane].valid.eq(asks[lane])
                for row in rows:
                    m.d.sync += [
                        equal[lane][row].eq(Cat(mixed[part] == self.keys[row][part] for part in bounds)),
                        matches[lane][row].eq(equal[lane][row].all() & used[row] & source.valid & ~source.bad),
                    ]
                m.d.sync += [
                    out.lanes[lane].fronted.eq(matches[lane].any()),
                    out.lanes[lane].known.eq((matches[lane] & known).any()),
                    out.lanes[lane].front.eq(encode(matches[lane])),
                ]
