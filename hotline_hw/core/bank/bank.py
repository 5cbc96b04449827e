"""PopularityBank: a tracker bank with the queues on both its sides."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, signed
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.budget import tracker_budget
from hotline_hw.core.layouts import row_parts
from hotline_hw.lib.queues import MultiPopQueue
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import AGE_FIELD

from .intake import BankIntake
from .sample_aware import SampleAwareTracker, row_ports
from .working import WorkingList, answer_bits

__all__ = ["PopularityBank", "answer_layout", "bank_heads"]


def answer_layout(geometry: Geometry) -> data.StructLayout:
    """A tracker's answer to one lookup. With a shell `slot` is `place_layout` in a miss."""
    return data.StructLayout({"slot": answer_bits(geometry), "hit": 1})


def bank_heads(geometry: Geometry) -> data.ArrayLayout:
    """A bank's oldest answers, oldest first."""
    return data.ArrayLayout(answer_layout(geometry), geometry.bank_ports)


class PopularityBank(wiring.Component):
    """Picks its own lookups out of every pass. It looks them up in order and keeps the answers until they are fetched.

        scatter ==> BankIntake --> tracker --> MultiPopQueue ==> gather
        updates ==> BankIntake ----^

    Flow control is by credit. A lookup is taken only if a place for its answer is free, so lookups never wait.

    Ports:
        bank: This bank's number.
        scatter: Lanes of the pass that goes in next but one, and that belong to this bank.
        rank_is: For each rank, the lanes of that pass that have it.
        tags: Tags of the lanes.
        pass_load: That pass becomes the one that waits to go in.
        asked: How many lookups of the waiting pass are the bank's.
        room: The bank can take them.
        take: Every bank can take its own, and the pass goes in.
        awaited: How many answers the pass waits for whose answers are fetched next but one.
        advance: That pass becomes the current one.
        ready: All answers to the current pass are there.
        fetch: The answers are taken. They are in `heads` from the next cycle on, by rank, until others are taken.
        update: Lanes of the next beat of updates that belong to this bank.
        update_rank_is, update_tags, update_weights, update_hot: Its ranks, tags and weights, and the keys that are
            hot, as in `SampleAwareTracker`.
        update_load: That beat becomes the one that waits to go in.
        update_room: The bank can take its updates.
        update_take: Every bank can take its updates, and the beat goes in.
        updating: Updates are waiting or under way.
        inserted, evicted, revived, returned: Event pulses, see `CounterUpdate`.
        age_period: Register AGE_PERIOD.
        budget: As in the tracker.
        row_access and the other ports of `row_ports`: As in the tracker, but inputs count a cycle later. `row_in` must
            still be there then. `row_write` and `entry_write` are this bank's own. The others go to all banks.

    Ports with a shell, where a `WorkingList` stands between tracker and MultiPopQueue:
        working_start, working_ready, working_enable, working_full: As `start`, `ready`, `enable` and `full` in
            `WorkingList`.
        count, held_count, list_held, list_number, list_tag: As in `WorkingList`.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        count = range(geometry.bank_ports + 1)
        super().__init__(
            {
                "bank": In(geometry.bank_bits),
                "scatter": In(geometry.lanes),
                "rank_is": In(geometry.lanes).array(geometry.bank_ports),
                "tags": In(geometry.tag_bits).array(geometry.lanes),
                "pass_load": In(1),
                "asked": Out(count),
                "room": Out(1),
                "take": In(1),
                "awaited": In(count),
                "advance": In(1),
                "ready": Out(1),
                "fetch": In(1),
                "heads": Out(bank_heads(geometry)),
                "inserted": Out(1),
                "evicted": Out(1),
                "budget": In(tracker_budget(geometry)),
                "update": In(geometry.lanes),
                "update_rank_is": In(geometry.lanes).array(geometry.bank_ports),
                "update_tags": In(geometry.tag_bits).array(geometry.lanes),
                "update_weights": In(geometry.weight_bits).array(geometry.lanes),
                "update_hot": In(1).array(geometry.lanes),
                "update_load": In(1),
                "update_room": Out(1),
                "update_take": In(1),
                "updating": Out(1),
                "revived": Out(1),
                "returned": Out(1),
                "age_period": In(AGE_FIELD.width),
                **row_ports(geometry),
                **(self._list_ports(geometry) if geometry.working_rows else {}),
            }
        )

    @staticmethod
    def _list_ports(geometry: Geometry) -> dict[str, wiring.Member]:
        return {
            "working_start": In(1),
            "working_ready": Out(1),
            "working_enable": In(1),
            "working_full": Out(1),
            "count": Out(geometry.local_bits + 1),
            "held_count": Out(geometry.local_bits + 1),
            "list_held": In(1),
            "list_number": In(geometry.local_bits),
            "list_tag": Out(geometry.tag_bits),
        }

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        m.submodules.lookups = lookups = BankIntake(g, g.tag_bits)
        m.submodules.tracker = tracker = SampleAwareTracker(g)
        m.submodules.answers = answers = MultiPopQueue(
            width=answer_layout(g).size, depth=g.queue_depth, ports=g.bank_ports
        )

        # Scatter
        fetched = Signal(range(g.bank_ports + 1))
        m.d.comb += [
            lookups.lanes.eq(self.scatter), lookups.load.eq(self.pass_load), lookups.take.eq(self.take),
            *(there.eq(here) for there, here in zip(lookups.rank_is, self.rank_is, strict=True)),
            *(there.eq(here) for there, here in zip(lookups.items, self.tags, strict=True)),
            self.asked.eq(lookups.asked), self.room.eq(lookups.room), lookups.freed.eq(fetched),
        ]  # fmt: skip
        # Look up: one lookup a cycle. It never waits.
        m.d.comb += [
            lookups.pop.eq(1),
            tracker.valid.eq(lookups.head_valid),
            tracker.tag.eq(lookups.head),
            tracker.bank.eq(self.bank),
            tracker.budget.eq(self.budget),
            self.inserted.eq(tracker.inserted),
            self.evicted.eq(tracker.evicted),
        ]
        if g.working_rows:
            self._list_misses(m, lookups, tracker, answers)
        else:
            m.d.comb += [
                answers.push_valid.eq(tracker.answer_valid),
                answers.push.eq(Cat(tracker.answer_slot, tracker.answer_hit)),
            ]
        # What reaches all banks at a time is registered in each. `row_in`, which is wide, stays for two cycles.
        for name, member in row_ports(g).items():
            here, there = getattr(self, name), getattr(tracker, name)
            if name == "row_in":
                m.d.comb += [inner.eq(outer) for inner, outer in zip(row_parts(there), row_parts(here), strict=True)]
            elif name == "row_out":
                m.d.comb += [outer.eq(inner) for inner, outer in zip(row_parts(there), row_parts(here), strict=True)]
            elif member.flow == In:
                held = Signal.like(there, name=f"held_{name}")
                m.d.sync += held.eq(here)
                m.d.comb += there.eq(held)
            else:
                m.d.comb += here.eq(there)
        self._updates(m, tracker)

        # Gather. `margin`: how many answers there are beyond those that the current pass wants.
        needed = Signal(range(g.bank_ports + 1))
        margin = Signal(signed(g.queue_depth.bit_length() + 1))
        come = answers.push_valid
        m.d.sync += margin.eq(Mux(self.advance, margin + come - self.awaited, margin + come))
        with m.If(self.advance):
            m.d.sync += needed.eq(self.awaited)
        m.d.comb += [
            self.ready.eq(margin >= 0),
            fetched.eq(Mux(self.fetch, needed, 0)),
            answers.pop.eq(self.fetch),
            answers.pop_count.eq(needed),
        ]
        with m.If(self.fetch):
            m.d.sync += [self.heads[port].eq(answers.heads[port]) for port in range(g.bank_ports)]
        return m

    def _list_misses(self, m: Module, lookups: BankIntake, tracker, answers: MultiPopQueue) -> None:
        """Passes the answers through the lists of unique cold rows."""
        m.submodules.working = working = WorkingList(self.geometry)
        m.d.comb += [
            working.start.eq(self.working_start), self.working_ready.eq(working.ready),
            working.enable.eq(self.working_enable), self.working_full.eq(working.full),
            working.tag_valid.eq(lookups.head_valid), working.tag.eq(tracker.tag),
            working.answer_valid.eq(tracker.answer_valid),
            working.slot.eq(tracker.answer_slot), working.hit.eq(tracker.answer_hit),
            answers.push_valid.eq(working.output_valid), answers.push.eq(Cat(working.output, working.output_hit)),
            self.count.eq(working.count), self.held_count.eq(working.held_count),
            working.list_held.eq(self.list_held), working.list_number.eq(self.list_number),
            self.list_tag.eq(working.list_tag),
        ]  # fmt: skip

    def _updates(self, m: Module, tracker: SampleAwareTracker) -> None:
        """Adds the queue in which updates from the classifier wait."""
        g = self.geometry
        m.submodules.updates = updates = BankIntake(g, g.tag_bits + g.weight_bits + 1)
        items = [
            Cat(tag, weight, hot)
            for tag, weight, hot in zip(self.update_tags, self.update_weights, self.update_hot, strict=True)
        ]
        # The oldest update waits in registers: the tracker compares it with all that are under way.
        next_valid = Signal()
        next_update = Signal(len(updates.head))
        with m.If(updates.pop):
            m.d.sync += [next_valid.eq(updates.head_valid), next_update.eq(updates.head)]
        m.d.comb += [
            updates.lanes.eq(self.update), updates.load.eq(self.update_load), updates.take.eq(self.update_take),
            *(there.eq(here) for there, here in zip(updates.rank_is, self.update_rank_is, strict=True)),
            *(there.eq(here) for there, here in zip(updates.items, items, strict=True)),
            self.update_room.eq(updates.room),
            updates.pop.eq(tracker.update_ready | ~next_valid),
            updates.freed.eq(updates.pop & updates.head_valid),
            tracker.update_valid.eq(next_valid),
            Cat(tracker.update_tag, tracker.update_weight, tracker.update_hot).eq(next_update),
            tracker.age_period.eq(self.age_period),
            self.updating.eq(updates.head_valid | next_valid | tracker.updating),
            self.revived.eq(tracker.revived),
            self.returned.eq(tracker.returned),
        ]  # fmt: skip
