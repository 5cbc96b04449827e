"""StreamPath: connects memory with the streams of the core, and makes the packets that are written."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.output.verdicts import verdict_bits
from hotline_hw.lib.axi import axis_signature
from hotline_hw.lib.streams import SkidBuffer, forward
from hotline_hw.shell.granules import GranulePacker
from hotline_hw.shell.layouts import (
    CHANNELS,
    MAIN,
    OTHER,
    SMALL,
    descriptor_layout,
    named_row,
    read_beat,
    row_beat,
    single_word,
    write_beat,
)
from hotline_hw.spec.descriptors import COUNTS, EVENT_BYTES, Opcode
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import WORD_BITS, WORD_BYTES

from .beats import BeatFiller, ResultPacker, StateJoiner, StateSplitter, cut_result, result_beat
from .lookups import LookupFeeder
from .verdicts import VerdictPacker

__all__ = ["StreamPath"]


class StreamPath(wiring.Component):
    """Feeds the core from memory, and makes the packets that go to memory. They go out on three channels.

        data --> LookupFeeder --> s_axis_lookup        m_axis_popular ----> ResultPacker ------.
           '---> StateJoiner ---> s_axis_state         m_axis_state ------> StateSplitter -----|--> channels[MAIN]
                                                           '--events--.                        |
        rows ---------------------------------------------------------+---> GranulePacker -----'
        m_axis_nonpopular -> ResultPacker, keys -> BeatFiller ------------> channels[OTHER]
        verdicts -> VerdictPacker, counts of lists, completion ---> BeatFiller ---> channels[SMALL]

    Ports:
        it: the descriptor.
        begin: it begins.
        flush: the packets of a GATHER end.
        data: payload `read_beat`: lookups, or state.
        s_axis_*, m_axis_*, verdicts: streams of HotlineCore.
        finished: the core ended a mini-batch.
        command_done: the core ended a command.
        rows: the rows of a GATHER: payload `row_beat`.
        keys: the keys of a GATHER: payload `named_row`.
        list_count, list_held, list_push, list_last, list_ready: a word of the summary.
        completion_words: payload `single_word`.
        channels: to WriteEngine.
        done: all data of the descriptor has moved, as of the cycle before. It is right two cycles after `begin`.
        state_moved: a beat of state moved, in the cycle before.
        samples, popular_samples, popular_words, nonpopular_words, listed, held: counts for the completion.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        lookup_bits, state_bits = geometry.lanes * WORD_BITS, geometry.ways * WORD_BITS
        super().__init__(
            {
                "it": In(descriptor_layout()),
                "begin": In(1),
                "flush": In(1),
                "data": In(stream.Signature(read_beat(geometry))),
                "s_axis_lookup": Out(axis_signature(lookup_bits)),
                "s_axis_state": Out(axis_signature(state_bits, keep=False)),
                "m_axis_popular": In(axis_signature(lookup_bits)),
                "m_axis_nonpopular": In(axis_signature(lookup_bits)),
                "m_axis_state": In(axis_signature(state_bits, keep=False)),
                "verdicts": In(stream.Signature(verdict_bits(geometry))),
                "finished": In(1),
                "command_done": In(1),
                "rows": In(stream.Signature(row_beat(geometry))),
                "keys": In(stream.Signature(named_row())),
                "list_count": In(geometry.local_bits + 1),
                "list_held": In(1),
                "list_push": In(1),
                "list_last": In(1),
                "list_ready": Out(1),
                "completion_words": In(stream.Signature(single_word(32))),
                "channels": Out(stream.Signature(write_beat(geometry))).array(CHANNELS),
                "done": Out(1),
                "state_moved": Out(1),
                **{name: Out(32) for name in COUNTS},
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        # There long before `begin`. They have a second register, so that they can lie near what they choose between:
        # synthesis makes one of the first and of the Sequencer's.
        found = {opcode: Signal(name=f"found_{opcode.name.lower()}") for opcode in Opcode}
        is_ = {opcode: Signal(name=f"is_{opcode.name.lower()}") for opcode in Opcode}
        m.d.sync += [flag.eq(self.it.opcode == opcode) for opcode, flag in found.items()]
        m.d.sync += [flag.eq(found[opcode]) for opcode, flag in is_.items()]
        feeder, state_left = self._to_core(m, is_)
        state_last = self._main(m, is_)
        self._other(m, is_)
        verdicts_last = self._small(m)
        # What has ended since `begin`.
        ended = {}
        for name, event in (("batch", self.finished), ("command", self.command_done), ("state", state_last),
                            ("verdicts", verdicts_last)):  # fmt: skip
            ended[name] = Signal(name=f"{name}_ended")
            m.d.sync += ended[name].eq((ended[name] | event) & ~self.begin)
        batch = feeder.done & ended["batch"]
        m.d.sync += self.done.eq(
            ((is_[Opcode.LEARN] | is_[Opcode.FRONT]) & batch)
            | (is_[Opcode.CLASSIFY] & batch & ended["verdicts"])
            | ((is_[Opcode.DUMP] | is_[Opcode.SELECT]) & ended["command"] & ended["state"])
            | (is_[Opcode.RESTORE] & ended["command"] & (state_left == 0))
        )
        return m

    def _to_core(self, m: Module, is_) -> tuple[LookupFeeder, Signal]:
        """Feeds lookups or state to the core. The descriptor decides which."""
        g = self.geometry
        m.submodules.feeder = feeder = LookupFeeder(g)
        m.submodules.joiner = joiner = StateJoiner(g)
        restoring = is_[Opcode.RESTORE]
        lookups, state = feeder.output.payload, joiner.output.payload
        m.d.comb += [
            feeder.start.eq(self.begin & (is_[Opcode.LEARN] | is_[Opcode.CLASSIFY] | is_[Opcode.FRONT])),
            feeder.count.eq(self.it.count), feeder.tables.eq(self.it.operand),
            feeder.input.payload.eq(self.data.payload), joiner.input.payload.eq(self.data.payload),
            feeder.input.valid.eq(self.data.valid & ~restoring), joiner.input.valid.eq(self.data.valid & restoring),
            self.data.ready.eq(Mux(restoring, joiner.input.ready, feeder.input.ready)),
            self.s_axis_lookup.tdata.eq(lookups.words), self.s_axis_lookup.tlast.eq(lookups.last),
            self.s_axis_lookup.tkeep.eq(Cat(lookups.keep[lane].replicate(WORD_BYTES) for lane in range(g.lanes))),
            self.s_axis_lookup.tvalid.eq(feeder.output.valid), feeder.output.ready.eq(self.s_axis_lookup.tready),
            self.s_axis_state.tdata.eq(state.words), self.s_axis_state.tlast.eq(state.last),
            self.s_axis_state.tvalid.eq(joiner.output.valid), joiner.output.ready.eq(self.s_axis_state.tready),
        ]  # fmt: skip
        left = Signal(32)  # sets of a state that have not entered the core
        with m.If(self.begin):
            m.d.sync += left.eq(Mux(restoring, self.it.count, 0))
        with m.Elif(self.s_axis_state.tvalid & self.s_axis_state.tready):
            m.d.sync += left.eq(left - 1)
        return feeder, left

    def _results(self, m: Module, name: str) -> ResultPacker:
        """Packs a result stream of the core and counts its words."""
        g = self.geometry
        packer = ResultPacker(g)
        m.submodules[f"{name}_packer"] = packer
        m.submodules[f"{name}_entry"] = entry = SkidBuffer(result_beat(g.lanes))
        source = getattr(self, f"m_axis_{name}")
        count = Signal(range(g.lanes + 1), name=f"{name}_count")
        # tkeep is dense, so the last word that is there tells the number.
        keep = [source.tkeep[lane * WORD_BYTES] for lane in range(g.lanes)]
        ends = [here & ~above for here, above in zip(keep, [*keep[1:], Const(0)], strict=True)]
        into = entry.input.payload
        m.d.comb += [
            count.eq(Cat(
                Cat(end for lane, end in enumerate(ends) if lane + 1 >> bit & 1).any() for bit in range(len(count))
            )),
            *(into.words[lane].eq(cut_result(source.tdata.word_select(lane, WORD_BITS))) for lane in range(g.lanes)),
            into.count.eq(count), into.last.eq(source.tlast),
            entry.input.valid.eq(source.tvalid), source.tready.eq(entry.input.ready),
        ]  # fmt: skip
        wiring.connect(m, entry.output, packer.input)
        words = getattr(self, f"{name}_words")
        more = Signal.like(count, name=f"{name}_more")  # of the cycle before
        m.d.sync += more.eq(Mux(source.tvalid & source.tready, count, 0))
        with m.If(self.begin):
            m.d.sync += words.eq(0)
        with m.Else():
            m.d.sync += words.eq(words + more)
        return packer

    def _channel(self, m: Module, number: int, name: str) -> stream.Interface:
        """The input of a skid buffer in front of a channel. What a beat holds, and who may send, is chosen before it."""
        m.submodules[f"{name}_slice"] = beats = SkidBuffer(write_beat(self.geometry))
        wiring.connect(m, beats.output, wiring.flipped(self.channels[number]))
        return beats.input

    def _main(self, m: Module, is_) -> Signal:
        """The channel MAIN: popular words, state, or data packed in granules.

        Returns whether a state packet's last beat moves.
        """
        m.submodules.splitter = splitter = StateSplitter(self.geometry)
        m.submodules.packer = packer = GranulePacker(self.geometry)
        popular = self._results(m, "popular")
        state, piece = self.m_axis_state, packer.input.payload
        selecting = is_[Opcode.SELECT]
        flushing = Signal()
        with m.If(self.flush & is_[Opcode.GATHER]):
            m.d.sync += flushing.eq(1)
        with m.Elif(flushing & packer.input.ready):
            m.d.sync += flushing.eq(0)
        with m.If(selecting):
            m.d.comb += [
                piece.data.eq(state.tdata[: 8 * EVENT_BYTES]), piece.count.eq(1), piece.end.eq(state.tlast),
                packer.input.valid.eq(state.tvalid),
            ]  # fmt: skip
        with m.Elif(flushing):
            m.d.comb += [piece.end.eq(1), packer.input.valid.eq(1)]
        with m.Else():
            m.d.comb += [
                piece.data.eq(self.rows.payload.data), piece.count.eq(self.rows.payload.count),
                packer.input.valid.eq(self.rows.valid), self.rows.ready.eq(packer.input.ready),
            ]  # fmt: skip
        m.d.comb += piece.first.eq(0)
        moved = Signal()
        last = Signal()
        m.d.comb += [
            splitter.input.payload.words.eq(state.tdata), splitter.input.payload.last.eq(state.tlast),
            splitter.input.valid.eq(state.tvalid & ~selecting),
            state.tready.eq(Mux(selecting, packer.input.ready, splitter.input.ready)),
            moved.eq(state.tvalid & state.tready),
            last.eq(moved & state.tlast),
        ]  # fmt: skip

        m.d.sync += self.state_moved.eq(moved)

        channel = self._channel(m, MAIN, "main")
        packed = packer.output.payload
        with m.If(is_[Opcode.DUMP]):
            forward(m, splitter.output, channel)
        with m.Elif(is_[Opcode.GATHER] | selecting):
            m.d.comb += [
                channel.payload.data.eq(packed.data), channel.payload.words.eq(packed.count << 2),
                channel.payload.last.eq(packed.end), channel.valid.eq(packer.output.valid),
                packer.output.ready.eq(channel.ready),
            ]  # fmt: skip
        with m.Else():
            forward(m, popular.output, channel)
        # Counts rows of a GATHER, beats of a DUMP and beats of a SELECT.
        row_done = self.rows.valid & self.rows.ready & self.rows.payload.row_last
        pushed = self.list_push & self.list_ready
        listed = Signal.like(self.list_count)
        held = Signal.like(self.list_count)
        m.d.sync += [
            listed.eq(Mux(row_done | moved, 1, Mux(pushed & ~self.list_held, self.list_count, 0))),
            held.eq(Mux(pushed & self.list_held, self.list_count, 0)),
        ]
        with m.If(self.begin):
            m.d.sync += [self.listed.eq(0), self.held.eq(0)]
        with m.Else():
            m.d.sync += [self.listed.eq(self.listed + listed), self.held.eq(self.held + held)]
        return last

    def _other(self, m: Module, is_) -> None:
        """The channel OTHER: non-popular words, or keys."""
        m.submodules.key_filler = filler = BeatFiller(self.geometry, WORD_BITS)
        nonpopular = self._results(m, "nonpopular")
        flushing = Signal()
        with m.If(self.flush & is_[Opcode.GATHER]):
            m.d.sync += flushing.eq(1)
        with m.Elif(flushing & filler.input.ready):
            m.d.sync += flushing.eq(0)
        key = self.keys.payload
        m.d.comb += [
            filler.input.payload.word.eq(Cat(key.row, key.table)), filler.input.payload.some.eq(~flushing),
            filler.input.payload.last.eq(flushing), filler.input.valid.eq(self.keys.valid | flushing),
            self.keys.ready.eq(filler.input.ready & ~flushing),
        ]  # fmt: skip
        channel = self._channel(m, OTHER, "other")
        with m.If(is_[Opcode.GATHER]):
            forward(m, filler.output, channel)
        with m.Else():
            forward(m, nonpopular.output, channel)

    def _small(self, m: Module) -> Signal:
        """The channel SMALL: verdicts, counts of lists, and completions, one at a time.

        Returns whether the verdicts' last beat is taken.
        """
        g = self.geometry
        m.submodules.verdict_packer = packer = VerdictPacker(g)
        m.submodules.word_filler = filler = BeatFiller(g, 32)
        verdicts, word = self.verdicts, filler.input.payload
        m.submodules.verdict_entry = entry = SkidBuffer(verdict_bits(g))
        wiring.connect(m, wiring.flipped(verdicts), entry.input)
        wiring.connect(m, entry.output, packer.input)
        with m.If(self.list_push):
            m.d.comb += [
                word.word.eq(self.list_count), word.some.eq(1), word.last.eq(self.list_last),
                filler.input.valid.eq(1), self.list_ready.eq(filler.input.ready),
            ]  # fmt: skip
        with m.Elif(self.completion_words.valid):
            forward(m, self.completion_words, filler.input)
        with m.Else():
            forward(m, packer.output, filler.input)
        forward(m, filler.output, self.channels[SMALL])

        beat = verdicts.payload
        taken = verdicts.valid & verdicts.ready
        bits = Signal.like(beat.bits, name="popular_bits")  # of the cycle before
        samples = Signal.like(beat.count, name="more_samples")
        popular = Signal.like(beat.count, name="more_popular")
        m.d.sync += [
            bits.eq(Mux(taken, Cat(beat.bits[bit] & (beat.count > bit) for bit in range(g.lanes)), 0)),
            samples.eq(Mux(taken, beat.count, 0)), popular.eq(sum(bits, Const(0))),
        ]  # fmt: skip
        with m.If(self.begin):
            m.d.sync += [self.samples.eq(0), self.popular_samples.eq(0)]
        with m.Else():
            m.d.sync += [
                self.samples.eq(self.samples + samples), self.popular_samples.eq(self.popular_samples + popular),
            ]  # fmt: skip
        return taken & beat.last
