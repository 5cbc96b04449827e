"""BankScatter: hands a beat's lookups to the banks of their keys, in stream order."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import fronted_beat, pass_beat
from hotline_hw.spec.params import Geometry

__all__ = ["BankScatter"]


class BankScatter(wiring.Component):
    """Splits a beat into passes and sends each to the banks.

        input -> pairs of one bank -> ranks -> cuts -> passes -> banks

    A bank takes up to `bank_ports` lookups of a beat at once. If a beat has more for one bank, it is cut into halves,
    these into quarters and so on, as far as needed. A part of `bank_ports` lanes always fits. So a pass is a run of the
    stream, and a bank sees its lookups in stream order. This makes the tracker's state independent of timing. Lanes
    that the front table answers go to no bank. A pass goes once every bank that it names has room (`room`).

    The ranks within parts of every size are counted before it is known how the beat is cut. So no pass waits for ranks,
    and none of these stages has more than a few levels of logic.

    Ports:
        input: Stream of `fronted_beat`.
        output: Stream of `pass_beat`, to BankGather. It is valid in the cycle in which the banks take the pass
            (`fire`).
        to_bank: For each bank, the lanes that go to it, of the pass behind `output`.
        rank_is: For each rank, the lanes of that pass that have it.
        tags: For each lane of that pass, its mixed key above the bank.
        load: That pass goes to `output`, and the banks choose their lookups.
        asked: For each bank, how many lookups of `output` it chose.
        fire: The pass goes.
        room: For each bank, whether it can take its lookups of `output`.
        split: Event pulse for the counters. A beat was cut.
        stalled: Event pulse for the counters. A full bank held a pass back.

    Throughput: one pass a cycle. Latency: five cycles.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "input": In(stream.Signature(fronted_beat(geometry))),
                "output": Out(stream.Signature(pass_beat(geometry))),
                "to_bank": Out(geometry.lanes).array(geometry.banks),
                "rank_is": Out(geometry.lanes).array(geometry.bank_ports),
                "tags": Out(geometry.tag_bits).array(geometry.lanes),
                "load": Out(1),
                "asked": In(range(geometry.bank_ports + 1)).array(geometry.banks),
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
        parts = g.lanes // g.bank_ports  # the smallest ones
        sizes = [g.bank_ports << level for level in range(parts.bit_length())]
        banks = [slice(0, g.bank_bits)] * g.lanes

        # A beat moves up where there is room for it.
        moves = [Signal(name=f"move{stage}") for stage in range(4)]  # into pairs, ranks, cuts, sent
        paired = self._stage(m, "paired", moves[0], self.input.valid, self.input.payload)
        ranked = self._stage(m, "ranked", moves[1], *paired)
        cut = self._stage(m, "cut", moves[2], *ranked)

        # Pairs: earlier lanes that go to the same bank.
        pairs = []
        routed = Signal(g.lanes)
        came = self.input.payload
        routes = [
            came.hashed.beat.lanes[lane].valid & ~came.hashed.beat.lanes[lane].bad & ~came.lanes[lane].known
            for lane in lanes
        ]
        for lane in lanes:
            pairs.append(Signal(max(1, lane), name=f"pairs{lane}"))
            mixed = [came.hashed.mixed[other][banks[other]] for other in (*range(lane), lane)]
            with m.If(moves[0]):
                m.d.sync += pairs[lane].eq(
                    Cat(routes[other] & routes[lane] & (mixed[other] == mixed[lane]) for other in range(lane))
                )
        with m.If(moves[0]):
            m.d.sync += routed.eq(Cat(routes))

        # Ranks, and whether they are too large, within parts of each size.
        ranks = [[Signal(g.bank_port_bits, name=f"rank{size}_{lane}") for lane in lanes] for size in sizes]
        over = [Signal(g.lanes, name=f"over{size}") for size in sizes]
        ranked_routed = Signal(g.lanes)
        for size, ranks_of, over_of in zip(sizes, ranks, over, strict=True):
            for lane in lanes:
                first = lane - lane % size
                count = Signal(range(size), name=f"count{size}_{lane}")
                m.d.comb += count.eq(sum((pairs[lane][other] for other in range(first, lane)), Const(0)))
                with m.If(moves[1]):
                    m.d.sync += [ranks_of[lane].eq(count), over_of[lane].eq(count >= g.bank_ports)]
        with m.If(moves[1]):
            m.d.sync += ranked_routed.eq(routed)

        # Cuts: for each of the smallest parts, in what size of part it goes.
        cut_routed = Signal(g.lanes)
        cut_ranks = [Signal(g.bank_port_bits, name=f"cut_rank{lane}") for lane in lanes]
        goes_on = Signal(parts)  # the pass does not end with this part
        used = Signal(parts)  # a lane of this part is valid
        fits = [[~over_of[first : first + size].any() for first in range(0, g.lanes, size)]
                for size, over_of in zip(sizes, over, strict=True)]  # fmt: skip
        for part in range(parts):
            first = part * g.bank_ports
            whole = Signal(range(len(sizes)), name=f"whole{part}")  # the largest part around it that fits
            for level, size in enumerate(sizes):
                with m.If(fits[level][first // size]):
                    m.d.comb += whole.eq(level)
            inside = [first % size + g.bank_ports < size for size in sizes]
            valid = Cat(ranked[1].hashed.beat.lanes[lane].valid for lane in range(first, first + g.bank_ports))
            with m.If(moves[2]):
                m.d.sync += [
                    goes_on[part].eq(Cat(Const(flag, 1) for flag in inside).bit_select(whole, 1)),
                    used[part].eq(valid.any()),
                ]
                for lane in range(first, first + g.bank_ports):
                    with m.Switch(whole):
                        for level in range(len(sizes)):
                            with m.Case(level):
                                m.d.sync += cut_ranks[lane].eq(ranks[level][lane])
        with m.If(moves[2]):
            m.d.sync += cut_routed.eq(ranked_routed)

        # Passes: the parts from `left` on, up to the first that ends a pass.
        left = Signal(parts, init=(1 << parts) - 1)  # parts that have not gone
        going = Signal(parts)
        after = Signal(parts)
        done = Signal()
        stops = left & ~goes_on
        m.d.comb += [
            going.eq(Cat(left[part] & ~stops[:part].any() for part in range(parts))),
            after.eq(left & ~going),
            done.eq(~(after & used).any()),
        ]
        goes = Signal(g.lanes)
        source = cut[1].hashed.beat
        m.d.comb += goes.eq(Cat(going[lane // g.bank_ports] & source.lanes[lane].valid for lane in lanes))

        sent = Signal(pass_beat(g), reset_less=True)
        sent_valid = Signal()
        waiting = Signal(pass_beat(g), reset_less=True)  # the banks have chosen their lookups of it
        waiting_valid = Signal()
        all_room = Signal()
        m.d.comb += [
            all_room.eq(self.room.all()),
            self.fire.eq(waiting_valid & all_room & self.output.ready),
            self.output.valid.eq(waiting_valid & all_room),
            self.output.payload.eq(waiting),
            Cat(self.output.payload.asked).eq(Cat(self.asked)),
            self.load.eq(~waiting_valid | self.fire),
            moves[3].eq(~sent_valid | self.load),
            moves[2].eq(~cut[0] | (moves[3] & done)),
            moves[1].eq(~ranked[0] | moves[2]),
            moves[0].eq(~paired[0] | moves[1]),
            self.input.ready.eq(moves[0]),
            self.split.eq(cut[0] & moves[3] & ~done),
            self.stalled.eq(waiting_valid & ~all_room),
        ]
        with m.If(self.load):
            m.d.sync += [waiting_valid.eq(sent_valid), waiting.eq(sent)]
            m.d.sync += [waiting.lanes[lane].tag.eq(self.tags[lane]) for lane in lanes]
        with m.If(moves[3]):
            m.d.sync += [
                sent_valid.eq(cut[0]),
                sent.learn.eq(source.learn),
                sent.classify.eq(source.classify),
                sent.end.eq(source.end & done),
            ]
            mixed = cut[1].hashed.mixed
            for number, lanes_to in enumerate(self.to_bank):
                m.d.sync += lanes_to.eq(
                    Cat(goes[lane] & cut_routed[lane] & (mixed[lane][banks[lane]] == number) for lane in lanes)
                )
            for number, lanes_with in enumerate(self.rank_is):
                m.d.sync += lanes_with.eq(Cat(cut_ranks[lane] == number for lane in lanes))
            for lane in lanes:
                m.d.sync += [
                    sent.lanes[lane].payload.eq(source.lanes[lane].payload),
                    sent.lanes[lane].valid.eq(goes[lane]),
                    sent.lanes[lane].last.eq(goes[lane] & source.lanes[lane].last),
                    sent.lanes[lane].bad.eq(goes[lane] & source.lanes[lane].bad),
                    sent.lanes[lane].routed.eq(goes[lane] & cut_routed[lane]),
                    sent.lanes[lane].bank.eq(mixed[lane][banks[lane]]),
                    sent.lanes[lane].rank.eq(cut_ranks[lane]),
                    sent.lanes[lane].fronted.eq(goes[lane] & cut[1].lanes[lane].fronted),
                    sent.lanes[lane].front.eq(cut[1].lanes[lane].front),
                    self.tags[lane].eq(mixed[lane][g.bank_bits :]),
                ]
            with m.If(cut[0]):
                m.d.sync += left.eq(Mux(done, (1 << parts) - 1, after))
        return m

    def _stage(self, m: Module, name: str, move: Signal, valid, beat) -> tuple[Signal, Signal]:
        """A stage of the pipeline, which takes what is before it when it moves: (valid, beat)."""
        held_valid = Signal(name=f"{name}_valid")
        held = Signal(fronted_beat(self.geometry), name=name, reset_less=True)
        with m.If(move):
            m.d.sync += [held_valid.eq(valid), held.eq(beat)]
        return held_valid, held
