"""WriteEngine: every beat of a packet is written once, whole, where it belongs, or its burst is refused.

The proof has two steps. WriteBuffer: one beat is watched, chosen freely among all. It is part of one burst, at its
place, and is read in its turn. WriteEngine, with buffers that offer free bursts: one burst is watched. Its address is
issued once or it is refused, and the data that is read for it follows. Neither looks at data: the data of the watched
beat is 1, that of all others is 0. The engine may be reset at any time, and the memory with it or not. What was asked
for before a reset keeps the rules of AXI, and its data has no strobes. Only the low bits of addresses are checked.
Which addresses are allowed is proven in test_dma_windows.py; here either all or none are, chosen freely.

WriteEngine's is a proof by induction: what the engine holds inside (write_inside.py) is asserted too. Mutants are to be
caught without that, by what can be seen from outside.
"""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from amaranth.hdl import Array, Assert, Assume, Cat, Cover, Elaboratable, Module, Mux, ResetInserter, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hotline_hw.shell.bus.judge import BurstJudge
from hotline_hw.shell.bus.windows import WindowCheck
from hotline_hw.shell.bus.write import WriteBuffer, WriteEngine
from hotline_hw.shell.layouts import Fault
from hotline_sim.formal import PropertyFailed, check, cover, induct, prove
from tests.formal.dma_parts import geometry
from tests.formal.mutants import mutated
from tests.formal.write_inside import Inside

GEOMETRY = geometry(128)
SHIFT = 4  # log2 of a beat's bytes
WORDS = 4
SOON = 2  # cycles until a burst is offered
LOW = 3  # bits of a beat's number that are checked
MOST = 2  # bursts outstanding


class BeatsBecomeBursts(wiring.Component):
    """Ports:
    valid, words, last: the beat. load, target: where the next one goes. watch: watch this beat.
    pick, read, done: what the engine does, within its contract.
    """

    def __init__(self, dut: type[WriteBuffer] = WriteBuffer) -> None:
        self.dut = dut
        super().__init__(
            {
                "valid": In(1), "words": In(range(WORDS + 1)), "last": In(1), "load": In(1), "target": In(1),
                "watch": In(1), "pick": In(1), "read": In(1), "done": In(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.dut = dut = self.dut(GEOMETRY, most_bursts=MOST)
        burst, beat = dut.burst, dut.beats.payload
        watching, watched_now = Signal(), Signal()
        inside, waiting, bursts = Signal(range(6)), Signal(range(6)), Signal(range(MOST + 1))
        taken, pushed, picked = Signal(), Signal(), Signal(range(3))
        m.d.comb += [
            dut.beats.valid.eq(self.valid), beat.words.eq(self.words), beat.last.eq(self.last),
            dut.load.eq(self.load), dut.target.eq(self.target << 6), beat.data.eq(watched_now),
            dut.pick.eq(self.pick & dut.burst_valid & (bursts != MOST)), dut.read.eq(self.read & (inside != waiting)),
            dut.written.eq(self.done & (bursts != 0)), taken.eq(self.valid & dut.beats.ready),
            pushed.eq(taken & (self.words != 0)), picked.eq(Mux(dut.pick, burst.len + 1, 0)),
            watched_now.eq(pushed & self.watch & ~watching),
        ]  # fmt: skip
        opened, stuck = Signal(), Signal(range(SOON + 3))
        was_offered, before = Signal(), Signal.like(burst.as_value())
        with m.If(taken):
            m.d.sync += opened.eq(~self.last)
        finished = ~opened & (waiting == 0)
        new = dut.burst_valid & ~was_offered
        idle_for, unoffered = Signal(range(SOON + 2)), Signal(range(SOON + 2))  # cycles without a burst that should be
        m.d.sync += [
            idle_for.eq(Mux(dut.burst_valid | opened | (waiting == 0), 0, idle_for + (idle_for <= SOON))),
            unoffered.eq(Mux(dut.burst_valid | (waiting < 2), 0, unoffered + (unoffered <= SOON))),
            Assert(idle_for <= SOON, "a packet that has ended is offered"),
            Assert(unoffered <= SOON, "a whole burst is offered"),
        ]
        end = (burst.at + burst.len)[0]
        m.d.sync += [
            Assume(~self.load | dut.idle, "a channel is loaded while it is idle"),
            Assume(self.last | (self.words == WORDS), "only a last beat is not full"),
            Assume(self.words <= WORDS, "no more words than a beat has"),
            inside.eq(inside + pushed - dut.read), waiting.eq(waiting + pushed - picked),
            bursts.eq(bursts + dut.pick - dut.written),
            Assert((inside <= 4) & (waiting <= inside), "no more beats than there is room for"),
            Assert(~dut.burst_valid | (burst.len < waiting), "no more beats in a burst than there are"),
            Assert(~(dut.burst_valid & burst.at[0] & burst.len[0]), "a burst ends where it has to"),
            Assert(~new | end | (~opened & (burst.len + 1 == waiting)), "or with the packet"),
            was_offered.eq(dut.burst_valid & ~dut.pick), before.eq(burst),
            Assert(~was_offered | (dut.burst_valid & (burst.as_value() == before)), "a burst that is offered stays"),
            Assert(~dut.idle | (finished & (bursts == 0)), "idle means that all is done"),
            Assert(dut.beats.ready | (inside == 4) | ~opened, "within a packet beats are taken while there is room"),
            stuck.eq(Mux(finished & (bursts == 0) & (inside == 0) & ~taken, stuck + (stuck != SOON + 2), 0)),
            Assert((stuck <= SOON) | (dut.idle & dut.beats.ready), "what is done is idle, and takes the next packet"),
        ]  # fmt: skip

        # The watched beat: where it goes, and how many beats are to be picked, and to be read, before it.
        at, now, where, words = Signal(LOW), Signal(LOW), Signal(LOW), Signal.like(self.words)
        unpicked, to_pick, to_read = Signal(), Signal(range(5)), Signal(range(5))
        m.d.comb += now.eq(Mux(self.load, self.target << (6 - SHIFT), at))
        m.d.sync += at.eq(now + pushed)
        with m.If(watched_now):
            m.d.sync += [
                watching.eq(1), unpicked.eq(1), where.eq(now), words.eq(self.words), to_pick.eq(waiting - picked),
                to_read.eq(inside - dut.read),
            ]  # fmt: skip
        with m.If(unpicked & dut.pick):
            m.d.sync += to_pick.eq(to_pick - burst.len - 1)
            with m.If(to_pick <= burst.len):
                m.d.sync += [
                    unpicked.eq(0),
                    Assert((burst.at + to_pick)[:LOW] == where, "a beat goes where it belongs"),
                    Assert(Mux(to_pick == burst.len, burst.words, WORDS) == words, "with its words"),
                ]
        fetched, known, due = Signal(), Signal(), Signal()
        m.d.comb += due.eq(watching & (to_read == 0))
        with m.If(dut.read):
            m.d.sync += [known.eq(1), fetched.eq(due)]
            with m.If(watching):
                m.d.sync += [to_read.eq(to_read - 1), watching.eq(~due)]
        m.d.sync += [
            Assert(~known | (dut.data[0] == fetched), "it is read in its turn, and stays"),
            Assert(~(due & dut.read & unpicked), "it is picked before"),
            Cover(watching & (inside == 4) & (to_read == 3) & ~opened & (words == 1) & ~unpicked, "full, the last one"),
        ]
        return m


def test_beats_become_bursts(tmp_path):
    prove(BeatsBecomeBursts(), tmp_path / "prove")
    cover(BeatsBecomeBursts(), tmp_path / "cover", cycles=18)


BUFFER_MUTANTS = {
    "beats beyond the memory": ("~full & ~ending", "~ending"),
    "a beat beyond the memory": ("(level == depth) | (taken & (level == depth - 1))", "level == depth"),
    "packets run together": ("~full & ~ending", "~full"),
    "an empty last beat is written": ("pushed.eq(taken & ~(beat.last & (beat.words == 0)))", "pushed.eq(taken)"),
    "a burst too early": ("reached = waiting > room", "reached = waiting >= room"),
    "a burst that waits is overwritten": ("form.eq(due & ~loaded & ~self.burst_valid)", "form.eq(due & ~loaded)"),
    "words of the end in every burst": ("Mux(final, tail, all_words)", "tail"),
    "an end forgotten": ("(form & final) |", "form |"),
    "idle before the response": ("~self.burst_valid & (unfinished == 0)", "~self.burst_valid"),
    "idle before the last burst": ("~ending & ~self.burst_valid & (unf", "~ending & (unf"),
    "an empty last beat's words": ("Mux(beat.last & beat.words.any(), beat.words, all_words)", "beat.words"),
}


@pytest.mark.parametrize("mutant", BUFFER_MUTANTS)
def test_a_broken_buffer_is_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(BeatsBecomeBursts(mutated(WriteBuffer, *BUFFER_MUTANTS[mutant])), tmp_path, cycles=16)


class NoCheck(WindowCheck):
    """Stands in for the check, which nobody asks."""

    _MustUse__silence = True


class FreeJudge(BurstJudge):
    """Stands in for the judge. It passes bursts on at once. The first window's right is the answer."""

    def elaborate(self, platform: object) -> Module:
        m = Module()
        wiring.connect(m, wiring.flipped(self.input), wiring.flipped(self.output))
        m.d.comb += self.inside.eq(self.windows[0].write & self.write)
        return m


class FreeBuffer(WriteBuffer):
    """Stands in for a buffer. Its burst is `free`, and `free_data` is what is read. It counts what is unfinished."""

    def __init__(self, number: int) -> None:
        super().__init__(GEOMETRY, most_bursts=MOST)
        self.free, self.free_valid = Signal(self.burst.shape(), name=f"free{number}"), Signal(name=f"valid{number}")
        self.free_data, self.unfinished = Signal(name=f"data{number}"), Signal(3, name=f"unfinished{number}")

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += [
            self.burst.eq(self.free), self.burst_valid.eq(self.free_valid), self.idle.eq(self.unfinished == 0),
        ]  # fmt: skip
        m.d.sync += self.unfinished.eq(self.unfinished + self.pick - self.written - self.dropped)
        kept = Signal(reset_less=True)  # as the output of a memory
        m.d.comb += self.data.eq(kept)
        with m.If(self.read):
            m.d.sync += kept.eq(self.free_data)
        return m


class BurstsAreWritten(wiring.Component):
    """Ports:
    valid, bursts: for each channel, its burst. watch, marked: watch the burst of channel 0, and its beat `marked`; the
    channels are alike. inside, abort: free. awready, wready, answer, id, failed: what the memory does. reset: the
    engine is reset, and all that is watched is forgotten. forget: the memory is reset too.

    Args:
        look_inside: assert what the engine holds inside, too.
    """

    def __init__(self, channels: int, dut: type[WriteEngine] = WriteEngine, look_inside: bool = False) -> None:
        self.channels, self.dut, self.look_inside = channels, dut, look_inside
        burst = data.StructLayout({"len": 1, "words": range(WORDS + 1)})
        super().__init__(
            {
                "valid": In(channels), "bursts": In(data.ArrayLayout(burst, channels)), "watch": In(1), "marked": In(1),
                "inside": In(1), "abort": In(1), "awready": In(1), "wready": In(1), "answer": In(1), "id": In(1),
                "failed": In(1), "reset": In(1), "forget": In(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Elaboratable:
        return ResetInserter(self.reset)(self._property())  # the memory's signals have no reset

    def _property(self) -> Module:
        m = Module()
        buffers = [FreeBuffer(number) for number in range(self.channels)]
        left = iter(buffers)
        parts = {
            "BurstJudge": FreeJudge,
            "WindowCheck": NoCheck,
            "_QUEUE": 2,
            "WriteBuffer": lambda *_, **__: next(left),
        }
        how = {"windows": 1, "most_bursts": MOST}
        self.within = Inside(m, self.dut, parts, self.look_inside, GEOMETRY, self.channels, **how)
        m.submodules.dut = dut = self.within.dut
        watching, watch_now, home = Signal(), Signal(), buffers[0]
        m.d.comb += [
            watch_now.eq(self.watch & ~watching), dut.windows[0].write.eq(self.inside),
            dut.bus_rst.eq(self.reset & self.forget),
            dut.abort.eq(self.abort), dut.awready.eq(self.awready), dut.wready.eq(self.wready),
        ]  # fmt: skip
        for number, buffer in enumerate(buffers):
            source = self.bursts[number]
            m.d.comb += [
                buffer.free_valid.eq(self.valid[number]), buffer.free.len.eq(source.len),
                buffer.free.words.eq(source.words), buffer.free.at.eq(watch_now if number == 0 else 0),
            ]  # fmt: skip
        unread = [Signal(range(2 * 5 + 1), name=f"unread{number}") for number in range(self.channels)]
        for buffer, beats in zip(buffers, unread, strict=True):
            done = buffer.written + buffer.dropped
            m.d.sync += [
                beats.eq(beats + Mux(buffer.pick, buffer.free.len + 1, 0) - buffer.read),
                Assert(~buffer.read | (beats != 0), "only what was picked is read"),
                Assert(buffer.unfinished >= done, "only what was picked is done"),
                Assert(buffer.unfinished <= MOST + 2 + 1, "no more is unfinished than a buffer counts"),
            ]

        # The watched burst: the beats of its channel to be read before it, its next beat to be read, and how it ended.
        watched, marked = Signal(self.bursts[0].shape()), Signal()
        ahead, number, all_read = Signal.like(unread[0]), Signal(), Signal()
        issued, refused, sent = Signal(), Signal(), Signal()
        m.d.comb += home.free_data.eq(watching & (ahead == 0) & ~all_read & (number == marked))
        with m.If(home.pick & watch_now):
            m.d.sync += [
                watching.eq(1), watched.eq(self.bursts[0]), marked.eq(self.marked), ahead.eq(unread[0] - home.read),
                number.eq(0), all_read.eq(0), issued.eq(0), refused.eq(0), sent.eq(0),
            ]  # fmt: skip
        with m.Elif(watching & home.read):
            with m.If(ahead != 0):
                m.d.sync += ahead.eq(ahead - 1)
            with m.Elif(~all_read):
                m.d.sync += [all_read.eq(number == watched.len), number.eq(1)]
        with m.If(watching & dut.channel_idle[0]):
            m.d.sync += [watching.eq(0), Assert(all_read & (sent | refused), "it was written, or refused")]
        fault = (dut.fault.kind == Fault.WINDOW) | (dut.fault.kind == Fault.ABORT)
        with m.If(fault & dut.fault.address[SHIFT]):
            m.d.sync += [refused.eq(1), Assert(watching & ~refused & ~issued, "it is refused once")]
        self._memory(m, dut, buffers, unread, watching, watched, marked, issued, refused, sent)
        data = [buffer.data[0] for buffer in buffers]
        self.within.watched(watching, watched, marked, ahead, number, all_read, issued, refused, sent, data)
        self.within.faults(fault, dut.fault.address[SHIFT], watching, refused)
        return m

    def _memory(
        self, m: Module, dut: WriteEngine, buffers: list, unread: list, watching, watched, marked, issued, refused, sent
    ):
        """Takes addresses when they are first offered, then data; and answers."""
        entry = data.StructLayout({"mine": 1, "len": 1, "id": 1, "stale": 1})  # stale: from before a reset
        bursts = [Signal(entry, name=f"due{index}", reset_less=True) for index in range(MOST)]
        due = Array(bursts)  # bursts whose data is due
        answers = Array(Signal(range(MOST + 1), name=f"answers{index}", reset_less=True) for index in range(2))
        count, waiting = Signal(range(MOST + 1), reset_less=True), Signal(reset_less=True)
        offered, number, was_reset = Signal(), Signal(reset_less=True), Signal(reset_less=True)
        loaded, late = (
            Signal(reset_less=True),
            Signal(reset_less=True),
        )  # before a reset: this beat, what is outstanding
        moved, ended, head, new = Signal(), Signal(), due[0], Signal(entry)
        m.d.comb += [
            offered.eq(dut.awvalid & ~waiting), moved.eq(dut.wvalid & dut.wready), ended.eq(moved & dut.wlast),
            dut.bvalid.eq(self.answer & (answers[self.id] != 0)), dut.bid.eq(self.id), dut.bresp.eq(self.failed << 1),
            new.mine.eq(dut.awaddr[SHIFT] & ~was_reset), new.stale.eq(was_reset),
            new.len.eq(dut.awlen), new.id.eq(dut.awid),
        ]  # fmt: skip
        m.d.sync += [
            was_reset.eq(self.reset), loaded.eq(self.reset | (loaded & dut.wvalid & ~dut.wready)),
            waiting.eq(dut.awvalid & ~dut.awready), count.eq(count + offered - ended),
            Assert(~dut.wvalid | (count != 0), "no data before its address"),
            Assert(dut.bready, "answers are taken"),
            Assert(~dut.awvalid | (dut.awid < self.channels), "ids are channels"),
        ]  # fmt: skip
        with m.If(offered & ended):
            m.d.sync += [due[0].eq(Mux(count == 1, new.as_value(), due[1].as_value())), due[1].eq(new)]
        with m.Elif(offered):
            m.d.sync += due[count[0]].eq(new)
        with m.Elif(ended):
            m.d.sync += due[0].eq(due[1])
        with m.If(offered & new.mine):
            m.d.sync += [
                issued.eq(1), Assert(watching & ~issued & ~refused, "it is issued once"),
                Assert((dut.awlen == watched.len) & (dut.awid == 0), "with its beats, under its channel's id"),
            ]  # fmt: skip
        last = number == head.len
        words = Mux(last, watched.words, WORDS)
        with m.If(moved):
            m.d.sync += [
                number.eq(~dut.wlast), Assert(dut.wlast == last, "last with the last beat"),
                Assert(head.stale | (dut.wdata[0] == (head.mine & (number == marked))), "the data read for it"),
                Assert(~head.stale | loaded | ~dut.wstrb.any(), "nothing is written after a reset for what was before"),
                Assert(~head.mine | (dut.wstrb == Cat((i < words).replicate(4) for i in range(WORDS))), "its words"),
            ]  # fmt: skip
            with m.If(head.mine & dut.wlast):
                m.d.sync += sent.eq(1)
        outstanding = Signal()
        m.d.comb += outstanding.eq((count != 0) | offered | (answers[0] != 0) | (answers[1] != 0))
        m.d.sync += [
            late.eq(self.reset | (late & outstanding)),
            Assert(~(offered & ~new.stale & late), "new bursts wait for those from before a reset"),
        ]
        for index, answer in enumerate(answers):
            m.d.sync += answer.eq(answer + (ended & (head.id == index)) - (dut.bvalid & (self.id == index)))
            if index < self.channels:
                here = Cat((place < count) & (due[place].id == index) for place in range(MOST)).any() & ~late
                m.d.sync += Assert(
                    ~dut.channel_idle[index] | ~(here | ((answer != 0) & ~late)), "idle when all is answered"
                )
        with m.If(self.reset):
            m.d.sync += [burst.stale.eq(1) for burst in bursts] + [burst.mine.eq(0) for burst in bursts]
        with m.If(self.reset & self.forget):
            m.d.sync += [count.eq(0), waiting.eq(0), number.eq(0)] + [answer.eq(0) for answer in answers]
        total = count + offered + answers[0] + answers[1]
        stuck = Signal(range(8))
        rests = (
            outstanding | dut.awvalid | (dut.fault.kind != Fault.NONE) | Cat(buffer.pick for buffer in buffers).any()
        )
        m.d.sync += [
            Assert(total <= MOST, "no more bursts than may be"),
            Assert(dut.outstanding == outstanding, "outstanding"),
            stuck.eq(Mux(rests | dut.idle, 0, stuck + 1)),
            Assert(stuck < 7, "it goes on unless the memory keeps it"),
            Cover(
                watching & sent & ~refused & (total == MOST) & watched.len & (buffers[0].unfinished == 4), "much to do"
            ),
        ]

        memory = SimpleNamespace(
            due=bursts, count=count, new=new, offered=offered, number=number, waiting=waiting, answers=answers,
            loaded=loaded, late=late,
        )  # fmt: skip
        self.within.state(memory, unread, buffers, MOST)
        self.within.stuck(stuck)
        self._rules(m, dut, buffers, late)

    def _rules(self, m: Module, dut: WriteEngine, buffers: list, late: Signal) -> None:
        """Checks that what is offered stays, faults, and the turns of the channels."""
        for name, fields in {
            "aw": (dut.awaddr[SHIFT], dut.awlen, dut.awid),
            "w": (dut.wdata[0], dut.wstrb, dut.wlast),
        }.items():
            valid, ready = getattr(dut, name + "valid"), getattr(dut, name + "ready")
            held = Signal(name=name + "_held", reset_less=True)
            before = Signal(len(Cat(fields)), name=name + "_before", reset_less=True)
            m.d.sync += [
                held.eq(valid & ~ready & ~(self.reset & self.forget)), before.eq(Cat(fields)),
                Assert(~held | (valid & (Cat(fields) == before)), f"what {name} offers stays"),
            ]  # fmt: skip
        failed, abort, inside, kind = Signal(2), Signal(), Signal(), dut.fault.kind
        passed = Signal(2)
        self.within.rules(failed[0], passed)
        others = Cat(buffer.pick for buffer in buffers[1:]).any()
        m.d.sync += [
            failed.eq(Cat(dut.bvalid & self.failed & ~late, failed)), abort.eq(self.abort), inside.eq(self.inside),
            Assert(failed[1] == (kind == Fault.BUS), "SLVERR is told, and nothing else as that"),
            Assert((kind != Fault.ABORT) | abort, "abort"),
            Assert((kind != Fault.WINDOW) | (~inside & ~abort), "outside the windows"),
            Assert(dut.fault.known == (kind != Fault.BUS), "the address is known where it is"),
            Assert(dut.idle == dut.channel_idle.all(), "idle when all channels are"),
            Assert((kind == Fault.NONE) | ~dut.channel_idle.any(), "a fault comes before a channel is idle"),
            passed.eq(Mux(self.valid[0] & ~buffers[0].pick, passed + others, 0)),
            Assert(passed < max(2, self.channels), "a channel that waits is passed once by each other"),
        ]  # fmt: skip


@pytest.mark.parametrize("channels", [1, 2])
def test_bursts_are_written(channels, tmp_path):
    induct(BurstsAreWritten(channels, look_inside=True), tmp_path / "prove", cycles=2)
    cover(BurstsAreWritten(channels), tmp_path / "cover", cycles=16)


ENGINE_MUTANTS = {
    "more outstanding than may be": ("(due != self.most_bursts)", "1"),
    "an address is withdrawn": ("with m.If(~offered | self.awready):", "with m.If(1):"),
    "data that waits is overwritten": (
        "going.eq((queued != 0) & (~offered | self.wready))",
        "going.eq(queued != 0)",
    ),
    "refused data is sent": ("offered.eq(going & ~head.data.drop)", "offered.eq(going)"),
    "a queue beyond its end": ("judge.output.valid & (queued != _QUEUE)", "judge.output.valid"),
    "words of the end in every beat": ("~ended | (word < head.data.words)", "word < head.data.words"),
    "another channel's response": ("came & (answered == number)", "came"),
    "the same channel again and again": ("m.d.sync += [turn.eq(number), ", "m.d.sync += ["),
    "a fault untold": ("buffer.idle & told", "buffer.idle"),
    "late responses count": ("came.eq(self.bvalid & ~self.quiescing)", "came.eq(self.bvalid)"),
    "written after a reset": ("Cat(read & (~ended", "Cat((~ended"),
    "what is outstanding is forgotten": (
        "due = Signal(range(self.most_bursts + 1), reset_less=True)",
        "due = Signal(range(self.most_bursts + 1))",
    ),
    "promised data is forgotten": (
        "queued = Signal(range(_QUEUE + 1), reset_less=True)",
        "queued = Signal(range(_QUEUE + 1))",
    ),
    "a beat that is offered is withdrawn": ("last = Signal(reset_less=True)", "last = Signal()"),
    "new bursts among the old": ("(queued != _QUEUE) & ~self.quiescing", "(queued != _QUEUE)"),
    "new bursts among refused ones": ("((due != 0) | (queued != 0))", "(due != 0)"),
    "awaited though memory was reset": ("            m.d.sync += due.eq(0)\n", "            pass\n"),
}


@pytest.mark.parametrize("mutant", ENGINE_MUTANTS)
def test_a_broken_engine_is_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(BurstsAreWritten(2, mutated(WriteEngine, *ENGINE_MUTANTS[mutant])), tmp_path, cycles=14)
