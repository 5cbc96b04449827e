"""What a bank holds of its lookups. So the proof in test_bank.py is one by induction."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

from amaranth.hdl import Array, Const, Module, Mux, Signal, Value

from hotline_hw.core.bank.bank import PopularityBank
from hotline_hw.spec.params import Geometry
from tests.formal.bank_parts import intake, pop_queue, queued
from tests.formal.dma_parts import with_parts
from tests.formal.inside import Claims, elaborated, keep_signals

__all__ = ["Inside"]


class Inside(Claims):
    """Adds assertions to a module. A bank's lookups are counted from the oldest one: first those whose answers wait,
    then those in the echo, then those in the queue.

    Args:
        bank: of the class that `block` returns. It is elaborated here.
    """

    def __init__(self, m: Module, g: Geometry, bank: PopularityBank) -> None:
        super().__init__(m)
        self.g, self.bank = g, bank
        self.u = elaborated(bank, keep_signals(bank, "elaborate", of=PopularityBank))

    @staticmethod
    def block(echo: Callable) -> type[PopularityBank]:
        """A bank that can be looked into, with `echo` in place of its tracker."""
        return with_parts(PopularityBank, BankIntake=intake, MultiPopQueue=pop_queue, SampleAwareTracker=echo)

    def state(self, waiting: SimpleNamespace, inside: Value, wanted: Value, current: Value, watched: SimpleNamespace,
              roomless: Value, patience: Value, longest: int) -> None:  # fmt: skip
        """All of it.

        Args:
            waiting: the pass that waits to go in: whether one does (`valid`), its `lanes`, their `ranks` and `tags`.
            watched: `valid`, `ahead`, `home`; and once it is fetched `out`, `rank`. The rest is as in the proof.
        """
        u, g, hold = self.u, self.g, self.hold
        lookups, answers = u.lookups.inside, u.answers.inside
        queue, depth, ports = lookups.queue.inside, g.queue_depth, g.bank_ports
        level = Signal(len(queue.read_pointer))
        answered = Signal(range(depth + 1))
        echo = u.tracker.inside.stages[1:]
        self.m.d.comb += [
            level.eq(queue.write_pointer - queue.read_pointer),
            answered.eq(inside - level - sum((valid for valid, _ in echo), Const(0))),
        ]
        hold(inside <= depth, "no more than there is room for")
        hold(level + sum((valid for valid, _ in echo), Const(0)) <= inside, "lookups that have no answer yet")
        ends = answers.write_pointer - answers.read_pointer
        hold((ends - answered)[: len(answers.read_pointer)] == 0, "answers that wait")
        hold(lookups.spare == depth - ports - inside - lookups.freed, "places that are free")
        hold(lookups.freed <= ports, "places that were given back")
        hold(u.margin == answered - wanted, "answers beyond those that are wanted")
        hold((u.needed == wanted) & (wanted <= ports) & (wanted <= inside), "those that are wanted")
        hold(current | (wanted == 0), "nothing is wanted before the first pass")

        # The pass that waits.
        asked = u.lookups.asked
        hold(~waiting.valid | (asked == sum(waiting.lanes)), "how many it asks for")
        hold(~waiting.valid | (lookups.asks == (asked != 0)), "whether it asks")
        hold(lookups.self.room == (~lookups.asks | (lookups.spare >= 0)), "whether there is room")
        for lane, (rank, tag) in enumerate(zip(waiting.ranks, waiting.tags, strict=True)):
            here = waiting.valid & waiting.lanes[lane]
            hold(~here | (rank == sum(waiting.lanes[:lane], Const(0))), f"the rank of lane {lane}")
            hold(~here | (Array(lookups.queue.push)[rank] == tag), f"the tag of lane {lane}")

        # Every lookup has its place.
        left = [(answered + older, valid, tag) for older, (valid, tag) in self._in_echo(echo)]
        first = inside - level
        for place in range(depth):
            index = (answers.read_pointer + place)[: len(answers.read_pointer)]
            answer = Signal(u.answers.width, name=f"answer{place}")
            at = (queue.read_pointer + place)[: len(queue.read_pointer) - 1]
            tag = Signal(g.tag_bits, name=f"queued{place}")
            self.m.d.comb += [answer.eq(Array(queued(u.answers))[index]), tag.eq(Array(queued(lookups.queue))[at])]
            left.append((Const(place), place < answered, answer))
            left.append((first + place, place < level, tag))
        home = watched.home
        hold(~watched.valid | (watched.ahead < inside), "the watched lookup is inside")
        for number, (place, here, tag) in enumerate(left):
            mine = watched.valid & here & (place == watched.ahead)
            hold(~mine | (tag[: len(home)] == home), f"{number}: it is where it belongs")
        hold(~watched.out | (watched.rank < ports), "it was fetched")

        # The last answer that the pass waits for comes in so many cycles.
        hold((roomless == 0) | (waiting.valid & self.bank.room), "there is room at once")
        latency = len(echo)
        last = wanted - 1
        due = Mux(wanted > first, wanted - first + latency, 0)
        for behind, (older, (valid, _)) in enumerate(self._in_echo(echo), start=1):
            due = due + Mux((answered + older == last) & valid, behind, 0)
        hold(~current | self.bank.ready | (patience + due <= longest), "how long it waits")
        hold(self.bank.ready | current, "nothing is waited for before")
        hold((current & ~self.bank.ready) | (patience <= longest), "how long it waited")

    @staticmethod
    def _in_echo(echo: list) -> list:
        """For each stage of the echo, the oldest first, how many lookups are older in it; and the stage."""
        found, older = [], Const(0)
        for valid, tag in reversed(echo):
            found.append((older, (valid, tag)))
            older = older + valid
        return found
