"""WriteEngine: writes streams of beats to consecutive addresses over AXI4. Each channel has a stream."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.shell.layouts import Fault, axi_signature, fault_signature, window_signature, write_beat
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.shell_registers import WINDOWS

from .judge import BurstJudge
from .windows import WindowCheck, share_windows

__all__ = ["WriteBuffer", "WriteEngine"]

_QUEUE = 4  # bursts whose data waits for that of others
_LOW_BITS = 32  # of an address, that change by counting; the rest by the carry


def _shifts(geometry: Geometry) -> tuple[int, int]:
    """log2 of the bytes of a beat, and of the beats of a burst."""
    return (geometry.axi_bits // 8).bit_length() - 1, geometry.burst_beats.bit_length() - 1


def _burst(geometry: Geometry) -> dict:
    """Fields of a burst: beats less one, and 32-bit words of the last beat."""
    return {"len": _shifts(geometry)[1], "words": range(geometry.axi_bits // 32 + 1)}


class WriteBuffer(wiring.Component):
    """One channel. It keeps beats until they make a burst, and offers the burst.

    A burst ends where the address is a multiple of `burst_beats` beats, or with the packet.

    Ports:
        target: where the next beat goes, a multiple of the bytes of a beat.
        load: `target` is taken. This is allowed only while idle. Without it the next beat follows the last one.
        beats: payload `write_beat`. It is not ready from a packet's last beat until all of the packet is in bursts.
        burst: the burst that is due, of beats from address `at` (in beats).
        burst_valid: a burst is due.
        pick: the burst is taken.
        read: the next beat of the picked bursts is read.
        data: that beat, from the next cycle until the next read.
        written, dropped: a picked burst is done. Both may be high in one cycle.
        idle: every packet has ended, and all bursts are done.

    Throughput: a beat in and a beat out a cycle, and a burst in three. A beat is part of a burst three cycles after it
    came, at the earliest.
    """

    def __init__(self, geometry: Geometry, *, most_bursts: int) -> None:
        self.geometry, self.most_bursts = geometry, most_bursts
        super().__init__(
            {
                "target": In(64),
                "load": In(1),
                "beats": In(stream.Signature(write_beat(geometry))),
                "burst": Out(data.StructLayout({"at": 64 - _shifts(geometry)[0], **_burst(geometry)})),
                "burst_valid": Out(1),
                "pick": In(1),
                "read": In(1),
                "data": Out(geometry.axi_bits),
                "written": In(1),
                "dropped": In(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        beat_shift, burst_shift = _shifts(g)
        depth, all_words = 2 * g.burst_beats, g.axi_bits // 32
        m.submodules.store = store = memory.Memory(shape=g.axi_bits, depth=depth, init=[])
        fill = store.write_port()
        fetch = store.read_port()
        beat = self.beats.payload
        low = Signal(_LOW_BITS - beat_shift)  # of the address, in beats
        high = Signal(64 - _LOW_BITS)
        carry = Signal()  # of the lower half
        taken = Signal()
        pushed = Signal()
        newest = Signal(range(depth))
        oldest = Signal(range(depth))
        level = Signal(range(depth + 1))  # beats here
        full = Signal()  # level == depth, unless a packet is ending
        waiting = Signal(range(depth + 1))  # those of them that are in no burst
        begun = Signal()
        ending = Signal()
        tail = Signal.like(beat.words)
        room = Signal(burst_shift)
        unfinished = Signal(range(self.most_bursts + 1))
        m.d.comb += [
            self.beats.ready.eq(~full & ~ending),
            taken.eq(self.beats.valid & self.beats.ready),
            pushed.eq(taken & ~(beat.last & (beat.words == 0))),
            fill.addr.eq(newest), fill.data.eq(beat.data), fill.en.eq(pushed),
            fetch.addr.eq(oldest), fetch.en.eq(self.read), self.data.eq(fetch.data),
            room.eq(~low[:burst_shift]),  # beats up to where a burst has to end, less one
            self.idle.eq(~begun & ~ending & ~self.burst_valid & (unfinished == 0)),
        ]  # fmt: skip

        # What the next burst would be is found in a cycle, and the burst is formed in the next. The packet may
        # grow meanwhile, which changes neither a whole burst nor one that ends the packet.
        whole = Signal()
        final = Signal()
        due = Signal()
        length = Signal(burst_shift)
        loaded = Signal()  # what was found is of another address
        form = Signal()
        reached = waiting > room
        m.d.comb += form.eq(due & ~loaded & ~self.burst_valid)
        m.d.sync += [
            whole.eq(reached), final.eq(ending & (waiting <= room + 1)), due.eq(reached | (ending & (waiting != 0))),
            length.eq(Mux(reached, room, waiting - 1)), loaded.eq(self.load),
        ]  # fmt: skip
        with m.If(form):
            m.d.sync += [
                self.burst_valid.eq(1), self.burst.at.eq(Cat(low, high)), self.burst.len.eq(length),
                self.burst.words.eq(Mux(final, tail, all_words)),
            ]  # fmt: skip
        with m.Elif(self.pick):
            m.d.sync += self.burst_valid.eq(0)

        m.d.sync += [
            newest.eq(newest + pushed),
            oldest.eq(oldest + self.read),
            level.eq(level + pushed - self.read),
            full.eq(~self.read & ((level == depth) | (taken & (level == depth - 1)))),
            waiting.eq(Mux(form, waiting + pushed - (length + 1), waiting + pushed)),
            unfinished.eq(unfinished + self.pick - self.written - self.dropped),
            carry.eq(0), high.eq(high + carry),
        ]  # fmt: skip
        with m.If(self.load):
            m.d.sync += Cat(low, high).eq(self.target[beat_shift:])
        with m.Elif(form & whole):
            m.d.sync += Cat(low[burst_shift:], carry).eq(low[burst_shift:] + 1)
            m.d.sync += low[:burst_shift].eq(0)
        with m.Elif(form):
            m.d.sync += low[:burst_shift].eq(low[:burst_shift] + length + 1)
        with m.If((form & final) | (ending & (waiting == 0))):
            m.d.sync += ending.eq(0)
        with m.If(taken):
            m.d.sync += [begun.eq(~beat.last), ending.eq(beat.last)]
            m.d.sync += tail.eq(Mux(beat.last & beat.words.any(), beat.words, all_words))
        return m


class WriteEngine(wiring.Component):
    """Writes the packets of several channels. The bursts of the channels take turns.

    A burst is not issued if its page is in no writable window, or if `abort` is high when its turn comes. A window
    counts as it was when the burst came to the check, and its right to write as it is now. The beats are thrown away.
    So every packet that ends is finished in the end.

    A burst's id is its channel. Up to `most_bursts` are outstanding. Data follows in the order in which the addresses
    were issued. The data of a burst comes after its address was offered. `bready` is always 1.

    A reset ends packets, but not the bursts that memory knows of. The engine then keeps what it offers until memory
    takes it, sends the beats that are still due with no strobe, and ignores the responses that come. The next burst is
    issued when all of them have come.

    Ports:
        channels[c].target: where the channel's next beat goes, a multiple of BUFFER_ALIGN.
        channels[c].load: `target` is taken. This is allowed only while idle.
        channels[c].beats: payload `write_beat`. `last` ends a packet, which is written as far as it came: of the
            last beat, `words` from the bottom. It is not ready from then until the packet's last burst is due.
        channel_idle[c]: every packet has ended, and was written (BRESP came) or thrown away.
        windows: memory that may be written.
        abort: bursts are refused.
        fault: an access failed. The kind is WINDOW or ABORT with the burst's address, or BUS without it. The fault
            comes before the channel is idle.
        idle: all channels are idle.
        outstanding: AXI writes are outstanding. Those from before a reset count too.
        quiescing: bursts from before a reset may be outstanding, and none is issued.
        bus_rst: memory is reset too, so nothing is outstanding. It comes with a reset of the engine.
        aw*, w*, b*: those members of `axi_signature`.

    Throughput: a beat a cycle, and a burst in two.
    """

    def __init__(self, geometry: Geometry, channels: int, *, windows: int = WINDOWS, most_bursts: int = 16) -> None:
        if not 1 <= channels <= geometry.read_tags:
            raise ValueError(f"channels={channels} must be 1 to {geometry.read_tags}: each has an AXI id")
        self.geometry, self.most_bursts = geometry, most_bursts
        axi = {n: member for n, member in axi_signature(geometry).members.items() if n.startswith(("aw", "w", "b"))}
        channel = wiring.Signature(
            {"target": Out(64), "load": Out(1), "beats": Out(stream.Signature(write_beat(geometry)))}
        )
        super().__init__(
            {
                "channels": In(channel).array(channels),
                "channel_idle": Out(channels),
                "windows": In(window_signature()).array(windows),
                "abort": In(1),
                "fault": Out(fault_signature()),
                "idle": Out(1),
                "outstanding": Out(1),
                "quiescing": Out(1, init=1),
                "bus_rst": In(1),
                **axi,
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        beat_shift, _ = _shifts(g)
        buffers = []
        for number, channel in enumerate(self.channels):
            # These may be unfinished: issued bursts, bursts in the queue to be thrown away, and those to be judged.
            buffer = WriteBuffer(g, most_bursts=self.most_bursts + _QUEUE + 1 + BurstJudge.HOLDS)
            m.submodules[f"buffer{number}"] = buffer
            m.d.comb += [buffer.target.eq(channel.target), buffer.load.eq(channel.load)]
            wiring.connect(m, wiring.flipped(channel.beats), buffer.beats)
            buffers.append(buffer)

        # The bursts to be judged, and the decision on them.
        index = range(max(2, len(buffers)))
        layout = data.StructLayout({"channel": index, "at": 64 - beat_shift, **_burst(g)})
        m.submodules.judge = judge = BurstJudge(layout, WindowCheck(len(self.windows)), write=True)
        share_windows(m, self.windows, judge.windows)
        burst = judge.output.payload
        issue = Signal()
        refuse = Signal()
        bus_fault = Signal()  # of the cycle before
        self._choose(m, buffers, judge.input)
        queued = Signal(range(_QUEUE + 1), reset_less=True)
        due = Signal(range(self.most_bursts + 1), reset_less=True)
        came = Signal()  # in the cycle before, a response that is waited for; others are from before a reset
        answered = Signal.like(self.bid)
        may = Signal()
        ready = Signal()
        told = Signal()
        m.d.comb += [
            may.eq(judge.inside & ~self.abort),
            ready.eq(judge.output.valid & (queued != _QUEUE) & ~self.quiescing),
            issue.eq(ready & may & (due != self.most_bursts) & (~self.awvalid | self.awready)),
            refuse.eq(ready & ~may & ~bus_fault),  # one fault a cycle can be told
            judge.output.ready.eq(issue | refuse),
            self.bready.eq(1),
            self.outstanding.eq(due != 0),
            told.eq(self.fault.kind == Fault.NONE),
            self.channel_idle.eq(Cat(buffer.idle & told for buffer in buffers)),
            self.idle.eq(self.channel_idle.all()),
            self.fault.known.eq(self.fault.kind != Fault.BUS),
        ]
        m.d.sync += [
            came.eq(self.bvalid & ~self.quiescing),
            answered.eq(self.bid),
            bus_fault.eq(self.bvalid & ~self.quiescing & self.bresp[1]),  # SLVERR or DECERR
            due.eq(due + issue - self.bvalid),
            self.quiescing.eq(self.quiescing & ((due != 0) | (queued != 0))),
            self.fault.kind.eq(
                Mux(bus_fault, Fault.BUS, Mux(refuse, Mux(self.abort, Fault.ABORT, Fault.WINDOW), Fault.NONE))
            ),
        ]
        with m.If(self.bus_rst):
            m.d.sync += due.eq(0)
        with m.If(refuse):
            m.d.sync += self.fault.address.eq(burst.at << beat_shift)
        self._address(m, burst, issue)
        dropped = self._send(m, buffers, burst, issue, refuse, queued)
        for number, buffer in enumerate(buffers):
            m.d.comb += [
                buffer.written.eq(came & (answered == number)),
                buffer.dropped.eq(dropped[number]),
            ]
        return m

    def _choose(self, m: Module, buffers: list, output: stream.Interface) -> None:
        """Takes the channels' bursts in turn."""
        chosen = output.payload
        turn = Signal.like(chosen.channel)
        found = Signal()
        picked = Signal(len(buffers))
        count = len(buffers)
        with m.Switch(turn):  # the channel that went last
            for last in range(count):
                with m.Case(last):
                    for distance in range(count, 0, -1):  # the nearest after it comes last, and so prevails
                        number = (last + distance) % count
                        with m.If(buffers[number].burst_valid):
                            m.d.comb += [picked.eq(1 << number), found.eq(1)]
        with m.If(~output.valid):
            m.d.sync += output.valid.eq(found)
            for number, buffer in enumerate(buffers):
                m.d.comb += buffer.pick.eq(picked[number])
                with m.If(picked[number]):
                    m.d.sync += [turn.eq(number), chosen.channel.eq(number)]
                    m.d.sync += [chosen[name].eq(buffer.burst[name]) for name in buffer.burst.shape().members]
        with m.Elif(output.ready):
            m.d.sync += output.valid.eq(0)

    def _address(self, m: Module, burst: data.View, issue: Signal) -> None:
        """The AW channel. Only `issue` loads its registers, and `issue` means that the windows allow the burst."""
        beat_shift, _ = _shifts(self.geometry)
        m.d.comb += [
            self.awsize.eq(beat_shift),
            self.awburst.eq(0b01),  # INCR
            self.awcache.eq(0b0011),  # normal memory, not cacheable, bufferable
        ]
        offered = Signal(reset_less=True)
        channel = Signal.like(burst.channel, reset_less=True)
        at = Signal.like(burst.at, reset_less=True)
        length = Signal.like(burst.len, reset_less=True)
        m.d.comb += [
            self.awvalid.eq(offered), self.awid.eq(channel), self.awaddr.eq(at << beat_shift), self.awlen.eq(length),
        ]  # fmt: skip
        with m.If(~offered | self.awready):
            m.d.sync += offered.eq(issue)
        with m.If(self.bus_rst):
            m.d.sync += offered.eq(0)
        with m.If(issue):
            m.d.sync += [channel.eq(burst.channel), at.eq(burst.at), length.eq(burst.len)]

    def _send(
        self, m: Module, buffers: list, burst: data.View, issue: Signal, refuse: Signal, queued: Signal
    ) -> Signal:
        """The W channel: a queue of bursts. Their data is sent or thrown away.

        A reset does not reach what is here, as memory knows of these bursts. While `quiescing` is high, their data
        comes from nowhere: it is sent without strobes.

        Returns a bit a channel: a burst of it was thrown away, in the cycle before.
        """
        g = self.geometry
        entry = data.StructLayout({"channel": burst.shape()["channel"].shape, **_burst(g), "drop": 1})
        m.submodules.queue = queue = memory.Memory(shape=entry, depth=_QUEUE, init=[])
        push = queue.write_port()
        head = queue.read_port(domain="comb")
        newest = Signal(range(_QUEUE), reset_less=True)
        oldest = Signal(range(_QUEUE), reset_less=True)
        number = Signal(_shifts(g)[1], reset_less=True)
        going = Signal()
        ended = Signal()
        offered = Signal(reset_less=True)
        read = Signal()  # a beat is taken from its buffer
        dropped = Signal(len(buffers))
        m.d.comb += [
            push.addr.eq(newest),
            head.addr.eq(oldest),
            self.wvalid.eq(offered),
            push.en.eq(issue | refuse),
            push.data.drop.eq(refuse),
            *(push.data[name].eq(burst[name]) for name in ("channel", "len", "words")),
            going.eq((queued != 0) & (~offered | self.wready)),
            read.eq(going & ~self.quiescing),
            ended.eq(number == head.data.len),
            *(buffer.read.eq(read & (head.data.channel == n)) for n, buffer in enumerate(buffers)),
        ]
        m.d.sync += [
            *(drop.eq(read & ended & head.data.drop & (head.data.channel == n)) for n, drop in enumerate(dropped)),
            newest.eq(newest + push.en),
            oldest.eq(oldest + (going & ended)),
            queued.eq(queued + push.en - (going & ended)),
        ]
        shown = Signal.like(head.data.channel, reset_less=True)
        last = Signal(reset_less=True)
        strobes = Signal.like(self.wstrb, reset_less=True)
        words = Signal(g.axi_bits // 32)
        m.d.comb += [
            words.eq(Cat(read & (~ended | (word < head.data.words)) for word in range(len(words)))),
            self.wlast.eq(last),
            self.wstrb.eq(strobes),
            self.wdata.eq(Array(buffer.data for buffer in buffers)[shown]),
        ]
        with m.If(~offered | self.wready):
            m.d.sync += offered.eq(going & ~head.data.drop)
        with m.If(going):
            m.d.sync += [
                number.eq(Mux(ended, 0, number + 1)),
                shown.eq(head.data.channel),
                last.eq(ended),
                strobes.eq(Cat(word.replicate(4) for word in words)),
            ]
        with m.If(self.bus_rst):
            m.d.sync += [offered.eq(0), queued.eq(0), newest.eq(0), oldest.eq(0), number.eq(0)]
        return dropped
