"""PopularityBank: a tracker bank with the queues on both its sides."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.budget import tracker_budget
from hotline_hw.core.layouts import encode, row_parts
from hotline_hw.lib.queues import MultiPopQueue, MultiPushQueue
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import AGE_FIELD

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

        scatter ==> MultiPushQueue --> tracker --> MultiPopQueue ==> gather
        updates ==> MultiPushQueue ----^

    Flow control is by credit. A lookup is taken only if a place for its answer is free, so lookups never wait.

    Ports:
        bank: This bank's number.
        scatter: Lanes of the pass that waits to go in and that belong to this bank.
        rank_is: For each rank, the lanes of that pass that have it.
        tags: Tags of the lanes.
        room: The bank can take its lanes.
        take: Every bank can take its lanes, and the pass goes in.
        gather, gather_rank_is: The same as `scatter` and `rank_is`, for the pass whose answers are wanted next.
        gather_load: That pass becomes the current one.
        ready: All answers to the current pass are in `heads`, by rank.
        fetch: The answers are taken.
        update: Lanes of the beat of updates that waits to go in and that belong to this bank.
        update_rank_is, update_tags, update_weights, update_hot: Its ranks, tags and weights, and the keys that are
            hot, as in `SampleAwareTracker`.
        update_room: The bank can take its updates.
        update_take: Every bank can take its updates, and the beat goes in.
        updating: Updates are waiting or under way.
        inserted, evicted, revived, returned: Event pulses, see `CounterUpdate`.
        age_period: Register AGE_PERIOD.
        budget, row_access and the ports of `row_ports`: As in the tracker. `row_write`, `slot_write` and `pick_take`
            are this bank's own. The others go to all banks.

    Ports with a shell, where a `WorkingList` stands between tracker and MultiPopQueue:
        working_start, working_ready, working_enable, working_full: As `start`, `ready`, `enable` and `full` in
            `WorkingList`.
        count, held_count, list_held, list_number, list_tag: As in `WorkingList`.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "bank": In(geometry.bank_bits),
                "scatter": In(geometry.lanes),
                "rank_is": In(geometry.lanes).array(geometry.bank_ports),
                "tags": In(geometry.tag_bits).array(geometry.lanes),
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
                "update": In(geometry.lanes),
                "update_rank_is": In(geometry.lanes).array(geometry.bank_ports),
                "update_tags": In(geometry.tag_bits).array(geometry.lanes),
                "update_weights": In(geometry.weight_bits).array(geometry.lanes),
                "update_hot": In(geometry.lanes),
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
        m.submodules.queue = queue = MultiPushQueue(width=g.tag_bits, depth=g.queue_depth, ports=g.bank_ports)
        m.submodules.tracker = tracker = SampleAwareTracker(g)
        m.submodules.answers = answers = MultiPopQueue(
            width=answer_layout(g).size, depth=g.queue_depth, ports=g.bank_ports
        )

        # Scatter
        wanted = self._choose(m, "lookup", self.scatter, self.rank_is, self.tags, queue.push)
        in_flight = Signal(range(g.queue_depth + 1))
        fetched = Signal(range(g.bank_ports + 1))
        m.d.comb += [
            self.room.eq(~self.scatter.any() | (in_flight <= g.queue_depth - g.bank_ports)),
            queue.push_count.eq(Mux(self.take, wanted, 0)),
        ]
        m.d.sync += in_flight.eq(in_flight + queue.push_count - fetched)
        # Look up: one lookup a cycle. It never waits.
        m.d.comb += [
            queue.pop.eq(1),
            tracker.valid.eq(queue.head_valid),
            tracker.tag.eq(queue.head),
            tracker.bank.eq(self.bank),
            tracker.budget.eq(self.budget),
            self.inserted.eq(tracker.inserted),
            self.evicted.eq(tracker.evicted),
        ]
        if g.working_rows:
            self._list_misses(m, queue, tracker, answers)
        else:
            m.d.comb += [
                answers.push_valid.eq(tracker.answer_valid),
                answers.push.eq(Cat(tracker.answer_slot, tracker.answer_hit)),
            ]
        for name, member in row_ports(g).items():
            here, there = getattr(self, name), getattr(tracker, name)
            if name in ("row_in", "row_out"):
                pairs = list(zip(row_parts(there), row_parts(here), strict=True))
            else:
                pairs = [(there, here)]
            for inner, outer in pairs:
                m.d.comb += inner.eq(outer) if member.flow == In else outer.eq(inner)
        self._updates(m, tracker)

        # Gather: the answers that the current pass wants were counted when it was loaded.
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

    def _choose(self, m: Module, name: str, lanes: Signal, rank_is, items, push) -> Signal:
        """Puts the items of this bank's lanes on a queue's ports. Port p takes the lane of rank p. Returns how many."""
        g = self.geometry
        wanted = Signal(range(g.bank_ports + 1), name=f"{name}s_wanted")
        choices = []
        for port in range(g.bank_ports):
            choice = Signal(g.lanes, name=f"{name}_choice{port}")
            m.d.comb += choice.eq(lanes & rank_is[port])
            choices.append(choice)
            with m.If(choice.any()), m.Switch(encode(choice)):
                for lane in range(g.lanes):
                    with m.Case(lane):
                        m.d.comb += push[port].eq(items[lane])
        m.d.comb += wanted.eq(sum((choice.any() for choice in choices), Const(0)))
        return wanted

    def _list_misses(self, m: Module, queue: MultiPushQueue, tracker, answers: MultiPopQueue) -> None:
        """Passes the answers through the lists of unique cold rows."""
        m.submodules.working = working = WorkingList(self.geometry)
        m.d.comb += [
            working.start.eq(self.working_start), self.working_ready.eq(working.ready),
            working.enable.eq(self.working_enable), self.working_full.eq(working.full),
            working.tag_valid.eq(queue.head_valid), working.tag.eq(tracker.tag),
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
        m.submodules.updates = updates = MultiPushQueue(
            width=g.tag_bits + g.weight_bits + 1, depth=g.queue_depth, ports=g.bank_ports
        )
        items = [
            Cat(tag, weight, hot)
            for tag, weight, hot in zip(self.update_tags, self.update_weights, self.update_hot, strict=True)
        ]
        wanted = self._choose(m, "update", self.update, self.update_rank_is, items, updates.push)
        waiting = Signal(range(g.queue_depth + 1))
        taken = Signal()
        # The oldest update waits in registers: the tracker compares it with all that are under way.
        next_valid = Signal()
        next_update = Signal(len(updates.head))
        with m.If(updates.pop):
            m.d.sync += [next_valid.eq(updates.head_valid), next_update.eq(updates.head)]
        m.d.comb += [
            self.update_room.eq(~self.update.any() | (waiting <= g.queue_depth - g.bank_ports)),
            updates.push_count.eq(Mux(self.update_take, wanted, 0)),
            updates.pop.eq(tracker.update_ready | ~next_valid),
            tracker.update_valid.eq(next_valid),
            Cat(tracker.update_tag, tracker.update_weight, tracker.update_hot).eq(next_update),
            tracker.age_period.eq(self.age_period),
            taken.eq(updates.pop & updates.head_valid),
            self.updating.eq(updates.head_valid | next_valid | tracker.updating),
            self.revived.eq(tracker.revived),
            self.returned.eq(tracker.returned),
        ]
        m.d.sync += waiting.eq(waiting + updates.push_count - taken)
