"""What WriteEngine holds inside. So the proof in test_dma_write.py is one by induction."""

from __future__ import annotations

from types import SimpleNamespace

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value

from hotline_hw.shell.bus.write import WriteEngine
from hotline_hw.shell.layouts import Fault
from tests.formal.dma_parts import with_parts
from tests.formal.inside import Claims, elaborated, keep_signals
from tests.formal.stores import Store

__all__ = ["Inside"]


class Inside(Claims):
    """Builds an engine, and adds assertions to a module.

    A burst is in the judge, then in the queue, the oldest first, then sent or thrown away.

    Args:
        parts: what the engine finds instead of its own.
        told: whether to assert anything.

    Attributes:
        dut: the engine. Its queue is of registers (`Store`).
    """

    def __init__(self, m: Module, block: type[WriteEngine], parts: dict, told: bool, *how: object, **more: object):
        super().__init__(m, told)
        self.dut = dut = with_parts(block, memory=SimpleNamespace(Memory=Store), **parts)(*how, **more)
        address, send, choose = (keep_signals(dut, name) for name in ("_address", "_send", "_choose"))
        self.u = elaborated(dut, keep_signals(dut, "elaborate", of=block))
        self.address, self.send, self.choose = address, send, choose
        depth = len(send.queue.rows)
        ages = range(depth)
        self.entries = []
        for age in ages:
            entry = Signal(send.queue.rows[0].shape(), name=f"entry{age}")
            m.d.comb += entry.eq(send.queue.rows[(send.oldest + age)[: len(send.oldest)]])
            self.entries.append(entry)
        self.there = [age < self.u.queued for age in ages]
        self.begun = [send.number if age == 0 else Const(0, 1) for age in ages]  # beats that have left
        self._place()

    def _place(self) -> None:
        """Follows the watched burst, whose address is odd."""
        u, send, m = self.u, self.send, self.m
        self.judged, self.queued, self.refused = Signal(), Signal(), Signal()
        self.spot = Signal.like(send.newest)
        with m.If(send.going & send.ended & (send.oldest == self.spot)):
            m.d.sync += self.queued.eq(0)
        with m.If((u.issue | u.refuse) & u.burst.at[0]):
            m.d.sync += [self.judged.eq(1), self.queued.eq(1), self.refused.eq(u.refuse), self.spot.eq(send.newest)]
        with m.If(self.dut.channel_idle[0]):
            m.d.sync += self.judged.eq(0)

    def state(self, memory: SimpleNamespace, unread: list, buffers: list, most: int) -> None:
        """All that does not depend on the watched burst.

        Args:
            memory: its signals, `due` (bursts whose data is due), `count`, `new` (if `offered`), `number`, `waiting`,
                `answers`, `loaded`, `late`.
            unread: beats of each channel that were picked and not read. `buffers`: they count what is unfinished.
        """
        u, send, choose, address, hold = self.u, self.send, self.choose, self.address, self.hold
        dut, quiet = self.dut, self.dut.quiescing
        mem = self.mem = memory
        channels = range(len(unread))
        judging, chosen = choose.output.valid, choose.output.payload
        depth = len(self.entries)

        # Bursts whose data is due: that of the last beat, if it is on offer, then those in the queue.
        self.last_offered = send.offered & send.last
        self.bursts = [Signal(mem.new.shape(), name=f"burst{index}") for index in range(most)]
        for index, burst in enumerate(self.bursts):
            self.m.d.comb += burst.eq(Mux(index < mem.count, mem.due[index].as_value(), mem.new.as_value()))
            here = index < mem.count + mem.offered
            hold(~here | (burst.stale == quiet), f"{index}: stale while late bursts are awaited")
            hold(~here | (burst.id < len(channels)), f"{index}: its channel")
        sends = [there & ~entry.drop for there, entry in zip(self.there, self.entries, strict=True)]
        self.sends, self.index, at = sends, [], Value.cast(self.last_offered)
        for age, entry in enumerate(self.entries):
            index = Signal(range(most + depth + 1), name=f"index{age}")
            self.m.d.comb += index.eq(at)
            burst = Signal(mem.new.shape(), name=f"of{age}")
            self.m.d.comb += burst.eq(Array(self.bursts)[index[: (most - 1).bit_length()]])
            right = (index < most) & (burst.len == entry.len) & (burst.id == entry.channel)
            hold(~sends[age] | right, f"{age}: a burst in the queue is asked for")
            hold(~self.there[age] | (entry.channel < len(channels)), f"{age}: a burst in the queue is of a channel")
            self.index.append(index)
            at = at + sends[age]
        hold(at == mem.count + mem.offered, "as many are asked for as are to be sent")
        hold(~mem.offered | Cat(
            (u.queued == age + 1) & sends[age] & (self.begun[age] == 0) for age in range(depth)
        ).any(), "what is asked for first is the newest in the queue")  # fmt: skip
        head, first = self.entries[0], self.bursts[0]
        hold(~mem.offered | ~send.offered | (mem.count != 0), "its data is not on offer")
        hold(u.queued <= depth, "the queue")
        hold((send.newest - send.oldest - u.queued)[: len(send.oldest)] == 0, "its ends")
        hold((send.number == 0) | ((u.queued != 0) & (send.number <= head.len)), "the beats that have left")
        middle = send.offered & ~send.last
        hold(~middle | (sends[0] & (send.number != 0)), "a burst that has begun is in the queue")
        hold(~self.last_offered | (send.number == 0), "a burst begins when the last one has ended")
        begun = Mux(self.last_offered, first.len, Mux(sends[0], send.number - middle, 0))
        hold(mem.number == begun, "the beat that is due")
        hold(~send.offered | (send.shown == first.id), "whose beat is on offer")
        hold(~send.offered | ~first.stale | mem.loaded | (send.strobes == 0), "late beats have no strobes")

        # Addresses, and what is outstanding.
        hold(u.due == mem.count + mem.offered + sum(mem.answers), "bursts that are outstanding")
        hold(u.due + u.came <= most, "no more than may be")
        hold(~address.offered | (address.channel < len(channels)), "an address is of a channel")
        hold(~mem.waiting | address.offered, "an address stays")
        newest = send.newest - 1
        entry = Signal(self.entries[0].shape(), name="newest_entry")
        self.m.d.comb += entry.eq(send.queue.rows[newest[: len(send.newest)]])
        hold(~mem.offered | ((address.length == entry.len) & (address.channel == entry.channel)), "an address")
        hold(~mem.late | quiet, "late bursts are awaited")
        hold(~quiet | (u.due == 0) | mem.late, "what is awaited is late")
        hold(~quiet | ~(u.came | u.bus_fault | send.dropped.any()), "quiet: nothing ends")
        hold(~quiet | (dut.fault.kind == Fault.NONE), "quiet: no fault")
        hold(u.queued + send.dropped.any() <= depth, "what is thrown away has left the queue")
        hold(~u.bus_fault | u.came, "a fault is an answer")

        # Every channel's beats and bursts.
        hold(~judging | (chosen.channel < len(channels)), "who is judged")
        for number in channels:
            beats = Mux(judging & (chosen.channel == number), chosen.len + 1, 0)
            bursts = judging & (chosen.channel == number)
            for entry, there, gone in zip(self.entries, self.there, self.begun, strict=True):
                mine = there & (entry.channel == number) & ~quiet
                beats = beats + Mux(mine, (entry.len + 1 - gone)[:2], 0)
                bursts = bursts + mine
            hold(unread[number] == beats, f"{number}: its beats")
            bursts = bursts + (self.last_offered & (first.id == number) & ~quiet) + Mux(quiet, 0, mem.answers[number])
            bursts = bursts + (u.came & (u.answered == number)) + send.dropped[number]
            hold(buffers[number].unfinished == bursts, f"{number}: its bursts")
        for answer in mem.answers[len(channels) :]:
            hold(answer == 0, "no answer to anyone else")

    def watched(
        self, watching: Value, watched: Value, marked: Value, ahead: Value, number: Value, all_read: Value,
        issued: Value, refused: Value, sent: Value, data: list,
    ) -> None:  # fmt: skip
        """All about the watched burst. The arguments are as in the proof. `data`: what the buffers show."""
        send, mem, hold, dut = self.send, self.mem, self.hold, self.dut
        judging, chosen = self.choose.output.valid, self.choose.output.payload
        quiet, kept = dut.quiescing, self.queued
        age = Signal(len(send.oldest))
        self.m.d.comb += age.eq(self.spot - send.oldest)
        hold(~self.judged | watching, "what was judged is watched")
        hold(~kept | (self.judged & ~quiet), "what is in the queue was judged")
        first = watching & ~self.judged
        right = (chosen.channel == 0) & (chosen.len == watched.len) & (chosen.words == watched.words)
        hold(~first | (judging & chosen.at[0] & right), "it is in the judge")
        hold(~(judging & chosen.at[0]) | first, "nothing else is taken for it")
        hold(~first | ~(all_read | issued | refused | sent), "it has just begun")
        hold(~(watching & self.judged) | (all_read == ~kept), "its beats are read in the queue")
        hold(~(first | kept) | ~sent, "it is not sent before")
        before = Const(0, 1)
        for place, entry in enumerate(self.entries):
            mine = kept & (age == place)
            same = (entry.channel == 0) & (entry.len == watched.len) & (entry.words == watched.words)
            hold(~mine | (self.there[place] & same & (entry.drop == self.refused)), f"{place}: it is in the queue")
            hold(~mine | ((ahead == before) & (number == self.begun[place])), f"{place}: what is ahead of it")
            here = self.there[place] & (entry.channel == 0) & ~quiet
            before = before + Mux(here, (entry.len + 1 - self.begun[place])[:2], 0)
        hold(~first | ((ahead == before) & (number == 0)), "what is ahead of it")

        # What is asked for, and what is sent.
        asked = watching & self.judged & ~self.refused
        new = mem.offered & mem.new.mine
        hold(~asked | issued | new, "it is asked for")
        hold(~new | (asked & ~issued), "and nothing else is taken for it")
        hold(~(watching & issued) | asked, "what is refused is not asked for")
        hold(~(watching & sent) | (asked & ~kept & issued), "it is sent when it was read")
        for index, burst in enumerate(self.bursts):
            here = index < mem.count + mem.offered
            queued = Cat(
                kept & (age == place) & send_it & (self.index[place] == index)
                for place, send_it in enumerate(self.sends)
            ).any()
            on_offer = asked & ~kept & ~sent if index == 0 else Const(0)
            hold(~here | (burst.mine == (asked & (queued | on_offer))), f"{index}: whose burst is asked for")
            same = (burst.id == 0) & (burst.len == watched.len)
            hold(~(here & burst.mine) | same, f"{index}: what is asked for")
        hold(~(asked & ~kept & ~sent) | (self.last_offered & ~quiet), "its last beat is on offer")
        mine = self.bursts[0].mine
        shown = Signal()
        self.m.d.comb += shown.eq(Array(data)[send.shown])
        hold(~send.offered | quiet | (shown == (mine & (mem.number == marked))), "the data on offer")
        words = Mux(send.last, watched.words, len(send.strobes) // 4)
        strobes = Cat((word < words).replicate(4) for word in range(len(send.strobes) // 4))
        hold(~(send.offered & mine) | quiet | (send.strobes == strobes), "the words on offer")
        for other in data[1:]:
            hold(other == 0, "no other data is taken for it")

    def faults(self, fault: Value, mine: Value, watching: Value, refused: Value) -> None:
        """`fault`: a burst was refused, and `mine`: it is the watched one."""
        gone = watching & self.judged & self.refused
        self.hold(~fault | (mine == (gone & ~refused)), "which burst was refused")
        self.hold(~gone | refused | (fault & mine), "it is told")
        self.hold(~(watching & refused) | gone, "what was told was refused")

    def rules(self, failed: Value, passed: Value) -> None:
        """`failed`: an answer that failed came. `passed`: others that went while channel 0 waited."""
        self.hold(failed == self.u.bus_fault, "a fault of the bus")
        self.hold((passed == 0) | (self.choose.turn != 0), "who went last")

    def stuck(self, stuck: Value) -> None:
        """`stuck`: cycles without a reason to wait."""
        u, send = self.u, self.send
        beats = sum(
            (Mux(there, (entry.len + 1 - gone)[:2], 0)
             for there, entry, gone in zip(self.there, self.entries, self.begun, strict=True)), Const(0),
        )  # fmt: skip
        left = beats + ((u.queued != 0) | send.dropped.any() | self.dut.quiescing)
        most = 2 * len(self.entries) + 1
        rests = (u.due != 0) | (self.dut.fault.kind != Fault.NONE)
        self.hold(rests | (stuck + left <= most), "what is thrown away is soon gone")
        self.hold((stuck == 0) | ~u.came, "no answer is new")
