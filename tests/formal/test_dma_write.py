"""WriteEngine: every beat of a packet is written once, whole, where it belongs, or its burst is refused.

One beat is watched, chosen freely among all of one channel: its data is 1, all other's 0. The engine looks at no data,
so this is what becomes of all. Of addresses the low bits are looked at; that no burst is issued outside the windows is
proven in test_dma_windows.py, here these say yes or no as they like.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Array, Assert, Assume, Cat, Cover, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hotline_hw.dma.layouts import Fault
from hotline_hw.dma.windows import WindowCheck
from hotline_hw.dma.write import WriteEngine
from hotline_hw.params import Geometry
from hotline_sim.formal import cover, first_value, prove
from tests.formal.dma_parts import geometry, with_parts

STUCK = 6  # cycles
MOST = 2  # bursts outstanding
LOW = 3  # bits of a beat's number that are looked at


class FreeCheck(WindowCheck):
    """A check in name: the first window's right is the answer."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.inside.eq(self.windows[0].write & self.write)
        return m


class BeatsAreWrittenOnce(wiring.Component):
    """Ports:
    valid, beats, load, target: for each channel, its beat and where the next one goes. watch: watch the beat of channel
    `home` (constant). inside, abort: free. awready, wready, answer, id, failed: what the memory does.
    """

    def __init__(self, geometry: Geometry, channels: int, dut: type[WriteEngine] = WriteEngine) -> None:
        self.geometry, self.dut, self.count = geometry, dut, channels
        self.beat_shift = (geometry.axi_bits // 8).bit_length() - 1
        beat = data.StructLayout({"words": range(geometry.axi_bits // 32 + 1), "last": 1})
        super().__init__(
            {
                "valid": In(channels), "beats": In(data.ArrayLayout(beat, channels)), "load": In(channels),
                "target": In(data.ArrayLayout(1, channels)), "watch": In(1), "home": In(range(max(2, channels))),
                "inside": In(1), "abort": In(1), "awready": In(1), "wready": In(1), "answer": In(1),
                "id": In(geometry.tag_id_bits), "failed": In(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        parts = {"WindowCheck": FreeCheck, "_QUEUE": 2}
        m.submodules.dut = dut = with_parts(self.dut, **parts)(g, self.count, windows=1, most_bursts=MOST)
        home = first_value(m, self.home)
        watching, watch_now = Signal(), Signal()
        m.d.sync += Assume(home < self.count, "a channel there is")
        m.d.comb += [
            watch_now.eq(self.watch & ~watching), dut.windows[0].write.eq(self.inside), dut.abort.eq(self.abort),
            dut.awready.eq(self.awready), dut.wready.eq(self.wready),
        ]  # fmt: skip
        all_words = g.axi_bits // 32
        opened, moved = Signal(self.count), Signal(self.count)  # packets that have not ended; beats that are taken
        for number, channel in enumerate(dut.channels):
            beat = self.beats[number]
            idle, taken = dut.channel_idle[number], self.valid[number] & channel.beats.ready
            m.d.comb += [
                channel.beats.valid.eq(self.valid[number]), channel.beats.payload.last.eq(beat.last),
                channel.beats.payload.words.eq(beat.words), channel.load.eq(self.load[number]),
                channel.beats.payload.data.eq(watch_now & (home == number)),
                channel.target.eq(self.target[number] << 6),
            ]  # fmt: skip
            m.d.sync += [
                Assume(~self.load[number] | idle, "a channel is loaded while it is idle"),
                Assume(beat.last | (beat.words == all_words), "only a last beat is not full"),
                Assume(beat.words <= all_words, "no more words than a beat has"),
                Assert(~(idle & opened[number]), "not idle within a packet"),
            ]
            m.d.comb += moved[number].eq(taken)
            with m.If(taken):
                m.d.sync += opened[number].eq(~beat.last)

        # The watched beat: where it goes, whether it went.
        beat = self.beats[home]
        at, now, words = Signal(LOW), Signal(LOW), Signal.like(beat.words)
        where, seen, refused, pushed = Signal(LOW), Signal(), Signal(), Signal()
        m.d.comb += [
            now.eq(Mux(self.load.bit_select(home, 1), self.target[home] << (6 - self.beat_shift), at)),
            pushed.eq(
                (self.valid & Cat(channel.beats.ready for channel in dut.channels)).bit_select(home, 1)
                & (beat.words != 0)
            ),
        ]
        m.d.sync += at.eq(now + pushed)
        idle = dut.channel_idle.bit_select(home, 1)
        fault = (dut.fault.kind == Fault.WINDOW) | (dut.fault.kind == Fault.ABORT)
        fault_at = dut.fault.address[self.beat_shift : self.beat_shift + LOW]
        with m.If(~watching):
            with m.If(pushed & self.watch):
                m.d.sync += [watching.eq(1), where.eq(now), words.eq(beat.words), seen.eq(0), refused.eq(0)]
        with m.Elif(idle):
            m.d.sync += [watching.eq(0), Assert(seen | refused, "the beat was written, or its burst was refused")]
        with m.Elif(fault & (fault_at[1:] == where[1:])):
            m.d.sync += refused.eq(1)
        sent_at, sent = self._memory(m, dut)
        strobes = Cat((word < words).replicate(4) for word in range(all_words))
        with m.If(sent & dut.wdata[0]):
            m.d.sync += [
                seen.eq(1),
                Assert(watching & ~seen, "once"),
                Assert(sent_at == where, "where it belongs"),
                Assert(dut.wstrb == strobes, "its words and no others"),
            ]
        self._rules(m, dut, opened.any() | moved.any())
        # That another beat's words are all written, too, is what watching that one says.
        m.d.sync += Cover(
            watching & seen & (where == 5) & ~opened.any() & dut.idle & (words == 1), "a packet of a burst and a half"
        )
        return m

    def _memory(self, m: Module, dut: WriteEngine) -> tuple[Signal, Signal]:
        """Takes addresses when they are first offered, data, and answers. Returns the number of the beat that is taken,
        and whether one is."""
        g = self.geometry
        address = data.StructLayout({"at": LOW, "len": 1, "id": g.tag_id_bits})
        due = Array(Signal(address, name=f"due{index}") for index in range(MOST))  # bursts whose data is due
        answers = Array(Signal(range(MOST + 1), name=f"answers{index}") for index in range(1 << g.tag_id_bits))
        count, offered, waiting, number = Signal(range(MOST + 1)), Signal(), Signal(), Signal()
        sent, ended, head = Signal(), Signal(), due[0]
        m.d.comb += [
            offered.eq(dut.awvalid & ~waiting),
            sent.eq(dut.wvalid & dut.wready),
            ended.eq(sent & dut.wlast),
            dut.bvalid.eq(self.answer & (answers[self.id] != 0)), dut.bid.eq(self.id), dut.bresp.eq(self.failed << 1),
        ]  # fmt: skip
        new = Signal(address)
        m.d.comb += Cat(new.at, new.len, new.id).eq(Cat(dut.awaddr[self.beat_shift :][:LOW], dut.awlen[0], dut.awid))
        m.d.sync += [
            waiting.eq(dut.awvalid & ~dut.awready),
            count.eq(count + offered - ended),
            Assert(~offered | (count != MOST), "no more bursts than may be"),
            Assert(~dut.awvalid | (dut.awlen[1:] == 0), "a burst of two beats at most"),
            Assert(~(offered & dut.awaddr[self.beat_shift] & dut.awlen[0]), "it ends where a burst has to"),
            # With data from memories of their own, an address is offered a cycle before its data at least.
            Assert(~dut.wvalid | (count != 0), "no data without an address"),
        ]
        with m.If(offered & ended):
            m.d.sync += [due[0].eq(Mux(count == 1, new.as_value(), due[1].as_value())), due[1].eq(new)]
        with m.Elif(offered):
            m.d.sync += due[count[0]].eq(new)
        with m.Elif(ended):
            m.d.sync += due[0].eq(due[1])
        with m.If(sent):
            m.d.sync += [
                number.eq(Mux(dut.wlast, 0, 1)),
                Assert(dut.wlast == (number == head.len), "last with the last beat"),
            ]
        pending = []
        for index, answer in enumerate(answers):
            more, less = ended & (head.id == index), dut.bvalid & (self.id == index)
            here = [(place < count) & (due[place].id == index) for place in range(MOST)]
            of_it = (answer != 0) | Cat(here).any() | (offered & (dut.awid == index))
            m.d.sync += answer.eq(answer + more - less)
            if index < self.count:
                m.d.sync += Assert(~(dut.channel_idle[index] & of_it), "idle when all is answered")
            else:
                m.d.sync += Assert(~of_it, "ids are channels")
            pending.append(of_it)
        self.pending = Signal()
        m.d.comb += self.pending.eq(Cat(pending).any())
        m.d.sync += [
            Assert(dut.outstanding == self.pending, "outstanding"),
            Assert(~dut.bvalid | dut.bready, "answers are taken"),
        ]
        return (head.at + number)[:LOW], sent

    def _rules(self, m: Module, dut: WriteEngine, busy) -> None:
        """What is offered stays; faults; progress."""
        for name, fields in {
            "aw": (dut.awaddr[self.beat_shift :][:LOW], dut.awlen, dut.awid),
            "w": (dut.wdata[0], dut.wstrb, dut.wlast),
        }.items():
            valid, ready = getattr(dut, name + "valid"), getattr(dut, name + "ready")
            held, before = Signal(name=name + "_held"), Signal(len(Cat(fields)), name=name + "_before")
            m.d.sync += [
                held.eq(valid & ~ready), before.eq(Cat(fields)),
                Assert(~held | (valid & (Cat(fields) == before)), f"what {name} offers stays"),
            ]  # fmt: skip
        failed, abort, inside, stuck = Signal(), Signal(), Signal(), Signal(range(STUCK + 2))
        kind = dut.fault.kind
        waits = dut.idle | busy | self.pending | (kind != Fault.NONE)
        m.d.sync += [
            failed.eq(dut.bvalid & self.failed), abort.eq(self.abort), inside.eq(self.inside),
            Assert(failed == (kind == Fault.BUS), "SLVERR is told, and nothing else as that"),
            Assert((kind != Fault.ABORT) | abort, "abort"),
            Assert((kind != Fault.WINDOW) | ~inside, "outside the windows"),
            Assert(dut.fault.known == (kind != Fault.BUS), "the address is known where it is"),
            Assert(dut.idle == dut.channel_idle.all(), "idle when all channels are"),
            stuck.eq(Mux(waits, 0, stuck + (stuck <= STUCK))),
            Assert(stuck <= STUCK, "packets that have ended get done unless the memory keeps them"),
        ]  # fmt: skip


@pytest.mark.parametrize("channels", [1, 2])
def test_beats_are_written_once(channels, tmp_path):
    prove(BeatsAreWrittenOnce(geometry(128), channels), tmp_path / "prove", seconds=500)
    cover(BeatsAreWrittenOnce(geometry(128), channels), tmp_path / "cover", cycles=20)
