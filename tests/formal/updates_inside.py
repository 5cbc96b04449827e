"""What the updates' way back to the banks holds. So the proof in test_updates.py is one by induction."""

from __future__ import annotations

from types import SimpleNamespace

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value

from hotline_hw.core.bank.bank import PopularityBank
from hotline_hw.core.output.updates import UpdateScatter
from hotline_hw.spec.params import Geometry
from tests.formal.bank_parts import intake, queued
from tests.formal.dma_parts import with_parts
from tests.formal.inside import Claims, elaborated, keep_signals

__all__ = ["BANK", "OnTheWay"]


BANK = with_parts(PopularityBank, BankIntake=intake)
"""A bank whose queues can be looked into. They are of registers (`Store`)."""


class OnTheWay(Claims):
    """Adds assertions to a module. The updates of bank `home` that are on their way are counted from
    the one that goes next.

    Args:
        home: the bank's number.
        scatter, banks: they are elaborated here.
    """

    def __init__(
        self, m: Module, g: Geometry, home: Value, scatter: UpdateScatter, banks: list[PopularityBank]
    ) -> None:
        super().__init__(m)
        self.g, self.home = g, home
        self.scatter, self.s = scatter, elaborated(scatter, keep_signals(scatter, "elaborate"))
        self.banks = [elaborated(bank, keep_signals(bank, "_updates")) for bank in banks]

    def state(self, inside: Value, watching: Value, ahead: Value, tag: Value, weight: Value) -> None:
        """All of them.

        Args:
            inside: updates on their way to `home`.
            watching, ahead: one of them is watched, and so many are before it. `tag`, `weight`: its.
        """
        s = self.s
        self.watched = (watching, ahead, tag, weight)
        self.hold(~s.gains.stop & ~s.given.output.valid & s.given.input.ready, "no gain is handed out")
        self.hold(~(s.counted_valid & s.counted.learn & s.counted.end), "no mini-batch ends that is learned from")
        self.hold(~watching | (ahead < inside), "the watched update is on its way")
        for number, bank in enumerate(self.banks):
            self._bank(number, self.home == number, inside, bank)

    def _is_watched(self, here: Value, place: Value, tag: Value, weight: Value, what: str) -> None:
        """If an update is `here`, and is the watched one by its place, so it is by what it is."""
        watching, ahead, its_tag, its_weight = self.watched
        same = (tag[0] == its_tag) & (weight == its_weight)
        self.hold(~(here & watching & (place == ahead)) | same, what)

    def _bank(self, number: int, mine: Value, inside: Value, bank: SimpleNamespace) -> None:
        g, s, hold = self.g, self.s, self.hold
        chooses = bank.updates.inside
        queue = chooses.queue.inside
        asked, name = bank.updates.asked, f"bank {number}: "

        # The update that waits for the tracker, and the queue.
        def item(value: Value) -> tuple[Value, Value]:
            return value[: g.tag_bits], value[g.tag_bits : g.tag_bits + g.weight_bits]

        self._is_watched(mine & bank.next_valid, Const(0), *item(bank.next_update), name + "the next one")
        pointer = queue.read_pointer
        level = Signal(len(pointer), name=f"level{number}")
        self.m.d.comb += level.eq(queue.write_pointer - pointer)
        rows = Array(queued(chooses.queue))
        for index in range(g.queue_depth):
            at = (pointer + index)[: len(pointer) - 1]
            row = Signal(len(bank.next_update), name=f"row{number}_{index}")
            self.m.d.comb += row.eq(rows[at])
            here = mine & (index < level)
            self._is_watched(here, bank.next_valid + index, *item(row), f"{name}{index} in the queue")
        hold(~mine | (level <= g.queue_depth), name + "no more than there is room for")
        free = g.queue_depth - level - chooses.freed
        hold(~mine | (chooses.spare == free - g.bank_ports), name + "places that are free")

        # Those that were chosen.
        hold(
            ~(mine & s.waits) | ((chooses.asks == (asked != 0)) & (asked <= g.bank_ports)),
            name + "those that were chosen",
        )
        before = bank.next_valid + level
        for port, chosen in enumerate(chooses.queue.push):
            here = mine & s.waits & (port < asked)
            self._is_watched(here, before + port, *item(chosen), f"{name}{port} of those chosen")

        # The beat to choose from.
        before = before + Mux(s.waits, asked, 0)
        lanes = self.scatter.to_bank[number]
        for lane in range(g.lanes):
            rank = sum(lanes[:lane], Const(0))
            here = mine & s.held & lanes[lane]
            ranks = Cat(of[lane] for of in self.scatter.rank_is)
            hold(~here | (ranks == (1 << rank)), f"{name}the rank of lane {lane}")
            update = self.scatter.tags[lane], self.scatter.lane_weights[lane]
            self._is_watched(here, before + rank, *update, f"{name}lane {lane}")

        # The beat before it.
        before = before + Mux(s.held, sum(lanes, Const(0)), 0)
        there = s.counted_valid & s.counted.learn
        sources = s.counted.lanes
        routed = [sources[lane].routed & (sources[lane].bank == number) for lane in range(g.lanes)]
        for lane in range(g.lanes):
            source, here = sources[lane], mine & there & routed[lane]
            rank = sum(routed[:lane], Const(0))
            hold(~here | ((source.rank == rank) & (rank < g.bank_ports)), f"{name}the rank of lane {lane}, counted")
            weight = Mux(source.fronted, 0, Array(self.scatter.weights)[s.others[lane]])
            self._is_watched(here, before + rank, source.tag, weight, f"{name}lane {lane}, counted")
        hold(~mine | (inside == before + Mux(there, sum(routed, Const(0)), 0)), name + "how many are on their way")
