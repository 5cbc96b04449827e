"""PopularityBank: a tracker bank with the queues on both its sides."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from .layouts import encode, entry_row, row_parts
from .params import Geometry
from .queues import MultiPopQueue, MultiPushQueue
from .tracker import SrripTracker, tracker_budget

__all__ = ["PopularityBank", "answer_layout", "bank_heads"]


def answer_layout(geometry: Geometry) -> data.StructLayout:
    """A tracker's answer to one lookup."""
    return data.StructLayout({"slot": geometry.slot_bits, "hit": 1})


def bank_heads(geometry: Geometry) -> data.ArrayLayout:
    """A bank's oldest answers, oldest first."""
    return data.ArrayLayout(answer_layout(geometry), geometry.bank_ports)


class PopularityBank(wiring.Component):
    """Picks its own lookups out of every pass, looks them up in order, and keeps the answers until they are fetched.

        scatter ==> MultiPushQueue --> SrripTracker --> MultiPopQueue ==> gather

    Flow control is by credit: a lookup is taken only if a place for its answer is free, so the tracker never waits.

    Ports:
        bank: this bank's number.
        scatter: lanes of the pass that wants in that go to this bank. room: the bank can take them.
        rank_is: for each rank, the lanes that have it. tags, learn: the pass's data.
        take: all banks have room, and the pass goes.
        gather, gather_rank_is: the like for the pass whose answers are wanted next; `gather_load` makes it the current.
        ready: all answers to the current pass are in `heads` (by rank). fetch: they are taken.
        inserted, evicted: tracker events. budget, row_*, clear: as in `SrripTracker`; row_write only where meant.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "bank": In(geometry.bank_bits),
                "scatter": In(geometry.lanes),
                "rank_is": In(geometry.lanes).array(geometry.bank_ports),
                "tags": In(geometry.tag_bits).array(geometry.lanes),
                "learn": In(1),
                "room": Out(1),
                "take": In(1),
                "gather": In(geometry.lanes),
                "gather_rank_is": In(geometry.lanes).array(geometry.bank_ports),
                "gather_load": In(1),
                "ready": Out(1),
                "fetch": In(1),
                "heads": Out(bank_heads(geometry)),
                "inserted": Out(1),
                "evicted": Out(1),
                "budget": In(tracker_budget(geometry)),
                "row_access": In(1),
                "row_set": In(geometry.set_bits),
                "row_write": In(1),
                "clear": In(1),
                "row_in": In(entry_row(geometry)),
                "row_out": Out(entry_row(geometry)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        m.submodules.queue = queue = MultiPushQueue(width=g.tag_bits + 1, depth=g.queue_depth, ports=g.bank_ports)
        m.submodules.tracker = tracker = SrripTracker(g)
        m.submodules.answers = answers = MultiPopQueue(
            width=answer_layout(g).size, depth=g.queue_depth, ports=g.bank_ports
        )

        # Scatter: choose this bank's lanes; port p takes the lane of rank p.
        wanted = Signal(range(g.bank_ports + 1))
        choices = []
        for port in range(g.bank_ports):
            choice = Signal(g.lanes, name=f"choice{port}")
            m.d.comb += choice.eq(self.scatter & self.rank_is[port])
            choices.append(choice)
        m.d.comb += wanted.eq(sum((choice.any() for choice in choices), Const(0)))
        in_flight = Signal(range(g.queue_depth + 1))
        fetched = Signal(range(g.bank_ports + 1))
        m.d.comb += [
            self.room.eq(~self.scatter.any() | (in_flight <= g.queue_depth - g.bank_ports)),
            queue.push_count.eq(Mux(self.take, wanted, 0)),
        ]
        m.d.sync += in_flight.eq(in_flight + queue.push_count - fetched)
        for choice, pushed in zip(choices, queue.push, strict=True):
            with m.If(choice.any()), m.Switch(encode(choice)):
                for lane in range(g.lanes):
                    with m.Case(lane):
                        m.d.comb += pushed.eq(Cat(self.tags[lane], self.learn))

        # Look up: one a cycle, never held up.
        m.d.comb += [
            queue.pop.eq(1),
            tracker.valid.eq(queue.head_valid),
            Cat(tracker.tag, tracker.learn).eq(queue.head),
            tracker.bank.eq(self.bank),
            tracker.budget.eq(self.budget),
            tracker.row_access.eq(self.row_access),
            tracker.row_set.eq(self.row_set),
            tracker.row_write.eq(self.row_write),
            tracker.clear.eq(self.clear),
            self.inserted.eq(tracker.inserted),
            self.evicted.eq(tracker.evicted),
            answers.push_valid.eq(tracker.answer_valid),
            answers.push.eq(Cat(tracker.answer_slot, tracker.answer_hit)),
        ]

        for there, here in zip(row_parts(tracker.row_in), row_parts(self.row_in), strict=True):
            m.d.comb += there.eq(here)
        for there, here in zip(row_parts(self.row_out), row_parts(tracker.row_out), strict=True):
            m.d.comb += there.eq(here)

        # Gather: how many answers the current pass wants was counted as it was loaded.
        needed = Signal(range(g.bank_ports + 1))
        with m.If(self.gather_load):
            needs = ((self.gather & lanes).any() for lanes in self.gather_rank_is)
            m.d.sync += needed.eq(sum(needs, Const(0)))
        m.d.comb += [
            self.ready.eq(answers.level >= needed),
            fetched.eq(Mux(self.fetch, needed, 0)),
            answers.pop_count.eq(fetched),
        ]
        for port in range(g.bank_ports):
            m.d.comb += self.heads[port].eq(answers.heads[port])
        return m
