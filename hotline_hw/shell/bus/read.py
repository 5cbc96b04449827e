"""ReadEngine: reads extents of memory over AXI4. Many bursts are under way at once, and their beats leave in order."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.lib.streams import SkidBuffer
from hotline_hw.shell.layouts import Fault, axi_signature, fault_signature, read_beat, read_request, window_signature
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.shell_registers import WINDOWS

from .cut import BurstCutter, read_burst
from .judge import BurstJudge
from .windows import WindowCheck, share_windows

__all__ = ["ReadEngine"]


class ReadEngine(wiring.Component):
    """Cuts requests into bursts, issues them, and returns their beats in order.

    A burst has whole beats, `burst_beats` at most. It ends at a multiple of so many beats or at the request's end. Up
    to `read_tags` bursts are under way, each with an id of its own. The beats of one id come in order, and beats of
    different ids in any order. They wait for their turn in a buffer of `read_beats` beats. A burst is issued once it
    has its places there, so `rready` is always 1.

    A burst is not issued if its page is in no readable window, or if `abort` is high when its turn comes. A window
    counts as it was when the burst came to the check, and its right to read as it is now. The beats are delivered all
    the same: their data is zero, with `fault`. So are beats that the bus answers with SLVERR or DECERR.
    So every request brings all its beats.

    A reset ends requests, but not the bursts that memory knows of. The engine then keeps an address that it offers
    until memory takes it, and drops the beats that are still due. The next burst is issued when all of them have come,
    and after max(`read_beats`, `read_tags`) cycles, in which the engine clears what it knows of its buffer and ids.

    Ports:
        request: payload `read_request`.
        data: payload `read_beat`, in order of requests and of addresses.
        windows: memory that may be read.
        abort: bursts are refused.
        fault: an access failed. The kind is WINDOW or ABORT once a burst, or BUS once a beat. The address is that of
            the burst, of a whole beat. The fault comes before the beat does.
        idle: every request has returned its last beat.
        outstanding: AXI reads are outstanding. Those from before a reset count too.
        quiescing: bursts from before a reset may be outstanding, or the buffer is being cleared. None is issued.
        bus_rst: memory is reset too, so nothing is outstanding. It comes with a reset of the engine.
        ar*, r*: those members of `axi_signature`.

    Throughput: a burst and a beat a cycle. Latency: 7 cycles from a request to arvalid, 3 from a beat to data.
    """

    def __init__(self, geometry: Geometry, *, windows: int = WINDOWS) -> None:
        self.geometry = geometry
        axi = {n: member for n, member in axi_signature(geometry).members.items() if n.startswith(("ar", "r"))}
        super().__init__(
            {
                "request": In(stream.Signature(read_request(geometry))),
                "data": Out(stream.Signature(read_beat(geometry))),
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
        self._beat_shift = (geometry.axi_bits // 8).bit_length() - 1

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        m.submodules.cutter = cutter = BurstCutter(g)
        m.submodules.judge = judge = BurstJudge(read_burst(g), WindowCheck(len(self.windows)), write=False)
        m.submodules.requests = requests = SkidBuffer(read_request(g))
        wiring.connect(m, wiring.flipped(self.request), requests.input)
        wiring.connect(m, requests.output, cutter.request)
        wiring.connect(m, cutter.burst, judge.input)
        share_windows(m, self.windows, judge.windows)
        burst, part = judge.output.payload, dict(read_burst(g).members)
        del part["at"]

        # Bursts under way, in order. A burst's id is its place here. Pointers have a bit more, to tell rounds apart.
        m.submodules.order = order = memory.Memory(
            shape=data.StructLayout({**part, "refused": 1}), depth=g.read_tags, init=[]
        )
        push = order.write_port()
        head = order.read_port(domain="comb")
        newest = Signal(g.tag_id_bits + 1)
        oldest_burst = Signal(g.tag_id_bits + 1)
        tail = newest[:-1]
        popped = Signal()

        issue = Signal()
        refuse = Signal()
        bus_fault = Signal()  # of the cycle before
        places = Signal(range(g.read_beats + 1))  # of the buffer, that are taken
        may = Signal()
        ready = Signal()
        m.d.comb += [
            may.eq(judge.inside & ~self.abort),
            ready.eq(judge.output.valid & ((newest ^ oldest_burst) != g.read_tags) & ~self.quiescing),
            issue.eq(ready & may & (places + burst.len < g.read_beats) & (~self.arvalid | self.arready)),
            refuse.eq(ready & ~may & ~bus_fault),  # one fault a cycle can be told
            judge.output.ready.eq(issue | refuse),
            push.en.eq(issue | refuse),
            push.addr.eq(tail),
            push.data.refused.eq(refuse),
            *(push.data[name].eq(burst[name]) for name in part),
        ]
        with m.If(push.en):
            m.d.sync += newest.eq(newest + 1)
        self._address(m, burst, issue, tail)

        # The buffer. Its places are given out and given back in order. Places are counted with a bit that tells rounds
        # apart, and whoever fills a place leaves that bit there. So it is known to be filled in this round.
        m.submodules.store = store = memory.Memory(
            shape=data.StructLayout({"data": g.axi_bits, "fault": 1}), depth=g.read_beats, init=[]
        )
        m.submodules.rounds = rounds = memory.Memory(shape=1, depth=g.read_beats, init=[])
        fill = store.write_port()
        fetch = store.read_port()
        mark = rounds.write_port()
        marked = rounds.read_port(domain="comb")
        came = Signal()  # a beat that is waited for; others are from before a reset
        m.d.comb += came.eq(self.rvalid & ~self.quiescing)
        cleared = Signal(range(max(g.read_beats, g.read_tags) + 1))  # places and ids, since a reset
        clearing = ~cleared[-1]
        place = self._fill(m, fill, issue, burst, tail, came, cleared)
        self._faults(m, burst, issue, refuse, bus_fault, came, tail)
        oldest = Signal.like(place)
        freed = Signal()
        given_back = Signal()  # in the cycle before
        due = Signal.like(places, reset_less=True)
        filled = Signal()
        filled_place = Signal.like(place, reset_less=True)
        m.d.sync += [filled.eq(came), filled_place.eq(place), given_back.eq(freed)]
        m.d.comb += [
            mark.en.eq(filled | clearing),
            mark.addr.eq(Mux(clearing, cleared[:-1], filled_place[:-1])),
            mark.data.eq(~clearing & ~filled_place[-1]),
            marked.addr.eq(oldest[:-1]),
        ]
        with m.If(clearing):
            m.d.sync += cleared.eq(cleared + 1)
        # One sum for a burst, one without: so that a sum does not wait for the decision.
        m.d.sync += [
            places.eq(Mux(issue, places + (burst.len + 1) - given_back, places - given_back)),
            due.eq(Mux(issue, due + (burst.len + 1) - self.rvalid, due - self.rvalid)),
            self.quiescing.eq(self.quiescing & (clearing | (due != 0))),
        ]
        with m.If(freed):
            m.d.sync += oldest.eq(oldest + 1)
        with m.If(self.bus_rst):
            m.d.sync += due.eq(0)

        # A beat leaves. The buffer's read port holds its data. The other parts wait in registers.
        going = Signal()
        ended = Signal()
        number = Signal.like(burst.len)
        some = Signal()
        out = self.data.payload
        refused = Signal()
        first = Signal.like(out.first)
        end = Signal.like(out.first)
        m.d.comb += [
            head.addr.eq(oldest_burst[:-1]),
            some.eq(newest != oldest_burst),
            going.eq(some & (head.data.refused | (marked.data != oldest[-1])) & (~self.data.valid | self.data.ready)),
            freed.eq(going & ~head.data.refused),
            ended.eq(number == head.data.len),
            popped.eq(going & ended),
            first.eq(Mux(number == 0, head.data.first, 0)),
            end.eq(Mux(ended, head.data.end, g.granules - 1)),
            fetch.addr.eq(oldest[:-1]),
            fetch.en.eq(going),
            out.fault.eq(refused | fetch.data.fault),
            out.data.eq(Mux(out.fault, 0, fetch.data.data)),
            self.idle.eq(~requests.output.valid & ~cutter.busy & ~judge.busy & ~some & ~self.data.valid),
            self.outstanding.eq(due != 0),
        ]
        with m.If(going):
            m.d.sync += [
                number.eq(Mux(ended, 0, number + 1)),
                out.first.eq(first),
                out.count.eq(end - first + 1),
                out.target.eq(head.data.target),
                out.last.eq(ended & head.data.last),
                refused.eq(head.data.refused),
            ]
        with m.If(popped):
            m.d.sync += oldest_burst.eq(oldest_burst + 1)
        with m.If(~self.data.valid | self.data.ready):
            m.d.sync += self.data.valid.eq(going)
        return m

    def _address(self, m: Module, burst: data.View, issue: Signal, tail: Signal) -> None:
        """The AR channel. Only `issue` loads its registers, and `issue` means that the windows allow the burst."""
        m.d.comb += [
            self.arsize.eq(self._beat_shift),
            self.arburst.eq(0b01),  # INCR
            self.arcache.eq(0b0011),  # normal memory, not cacheable, bufferable
        ]
        offered = Signal(reset_less=True)
        tag = Signal.like(tail, reset_less=True)
        at = Signal.like(burst.at, reset_less=True)
        length = Signal.like(burst.len, reset_less=True)
        m.d.comb += [
            self.arvalid.eq(offered), self.arid.eq(tag), self.araddr.eq(at << self._beat_shift), self.arlen.eq(length),
        ]  # fmt: skip
        with m.If(~offered | self.arready):
            m.d.sync += offered.eq(issue)
        with m.If(self.bus_rst):
            m.d.sync += offered.eq(0)
        with m.If(issue):
            m.d.sync += [tag.eq(tail), at.eq(burst.at), length.eq(burst.len)]

    def _fill(
        self,
        m: Module,
        fill: memory.WritePort,
        issue: Signal,
        burst: data.View,
        tail: Signal,
        came: Signal,
        cleared: Signal,
    ) -> Signal:
        """The R channel. Writes each beat to its place in the buffer, and returns that place.

        The first place of a burst is stored when the burst is issued. Each beat then stores the place after its own.
        These are two memories, so that each has one writer. A third keeps, for each id, a bit that its beats leave
        there. The burst that is issued has the other value, and so its first beat is known. After a reset, while
        `cleared` counts, all these bits are made equal.
        """
        g = self.geometry
        entry = data.StructLayout({"place": range(2 * g.read_beats), "turn": 1})
        begin = Signal(range(2 * g.read_beats))
        place = Signal(range(2 * g.read_beats))
        ports = []
        for name, shape in (("first_place", entry), ("next_place", entry), ("turns", 1)):
            places = memory.Memory(shape=shape, depth=g.read_tags, init=[])
            m.submodules[name] = places
            ports.append((places.write_port(), places.read_port(domain="comb")))
        (first, first_read), (after, after_read), (turn, turn_read) = ports
        clearing = ~cleared[-1]
        answered = Mux(clearing, cleared[: len(self.rid)], self.rid)
        m.d.comb += [
            turn_read.addr.eq(tail), first.addr.eq(tail), first.en.eq(issue), first_read.addr.eq(self.rid),
            first.data.place.eq(begin), first.data.turn.eq(~turn_read.data),
            after.addr.eq(answered), after.en.eq(came | clearing), after_read.addr.eq(self.rid),
            after.data.place.eq(place + 1), after.data.turn.eq(~clearing & first_read.data.turn),
            turn.addr.eq(answered), turn.en.eq(came | clearing), turn.data.eq(~clearing & first_read.data.turn),
            place.eq(Mux(first_read.data.turn == after_read.data.turn, after_read.data.place, first_read.data.place)),
            self.rready.eq(1),
            fill.en.eq(came), fill.addr.eq(place[:-1]), fill.data.data.eq(self.rdata),
            fill.data.fault.eq(self.rresp[1]),  # SLVERR or DECERR
        ]  # fmt: skip
        with m.If(issue):
            m.d.sync += begin.eq(begin + burst.len + 1)
        return place

    def _faults(
        self,
        m: Module,
        burst: data.View,
        issue: Signal,
        refuse: Signal,
        bus_fault: Signal,
        came: Signal,
        tail: Signal,
    ) -> None:
        """Reports failed accesses: refused ones a cycle later, and beats that the bus answers with an error two.

        The addresses of all outstanding bursts are kept for it.
        """
        width = 64 - self._beat_shift
        m.submodules.addresses = addresses = memory.Memory(shape=width, depth=self.geometry.read_tags, init=[])
        write = addresses.write_port()
        read = addresses.read_port()
        refused_at = Signal(width)
        failed_id = Signal.like(self.rid)
        m.d.sync += [bus_fault.eq(came & self.rresp[1]), failed_id.eq(self.rid)]
        m.d.comb += [
            write.addr.eq(tail), write.data.eq(burst.at), write.en.eq(issue),
            read.addr.eq(failed_id), read.en.eq(bus_fault),
            self.fault.known.eq(1),
            self.fault.address[self._beat_shift :].eq(Mux(self.fault.kind == Fault.BUS, read.data, refused_at)),
        ]  # fmt: skip
        m.d.sync += self.fault.kind.eq(
            Mux(bus_fault, Fault.BUS, Mux(refuse, Mux(self.abort, Fault.ABORT, Fault.WINDOW), Fault.NONE))
        )
        with m.If(refuse):
            m.d.sync += refused_at.eq(burst.at)
