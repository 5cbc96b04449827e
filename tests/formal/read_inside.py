"""What ReadEngine holds inside. So the proof in test_dma_read.py is one by induction."""

from __future__ import annotations

from types import SimpleNamespace

from amaranth.hdl import Array, Cat, Const, Module, Mux, Value
from amaranth.lib import data

from hotline_hw.shell.bus.read import ReadEngine
from hotline_hw.spec.params import Geometry
from tests.formal.dma_parts import with_parts
from tests.formal.inside import Claims, keep_signals
from tests.formal.stores import Store

__all__ = ["Inside"]


class Inside(Claims):
    """Adds the engine to a module, and assertions.

    Bursts that are under way are numbered by age, the oldest is 0. A beat is in the buffer until it leaves.

    Args:
        block: the engine, and `parts` that it finds instead of its own.
        told: whether to assert anything.

    Attributes:
        dut: the engine. Its memories are of registers (`Store`).
        newest: the pointer to the next burst.
    """

    def __init__(self, m: Module, g: Geometry, block: type[ReadEngine], parts: dict, told: bool) -> None:
        super().__init__(m, told)
        self.g = g
        self.dut = with_parts(block, memory=SimpleNamespace(Memory=Store), **parts)(g, windows=1)
        self.dut._MustUse__used = True  # elaborated here, so that the proof can look inside
        self.u, address, faults, fill = [
            keep_signals(self.dut, name, of=block) for name in ("elaborate", "_address", "_faults", "_fill")
        ]
        m.submodules.dut = inside = self.dut.elaborate(None)
        self.begin, self.newest = fill.begin, self.u.newest
        self.offered, self.tag, self.length = address.offered, address.tag, address.length
        self.at, self.failed_id, self.bus_fault = address.at, faults.failed_id, faults.bus_fault
        names = ("order", "store", "rounds", "first_place", "next_place", "turns", "addresses")
        self.rows = SimpleNamespace(**{name: getattr(inside.submodules, name).rows for name in names})

    def state(self, entries: Array, stale: Value) -> None:
        """All that does not depend on the watched burst.

        Args:
            entries: what memory knows of each id, and `stale`: what is offered to it is from before a reset.
        """
        self.stale = stale
        u, g, named, hold = self.u, self.g, self.named, self.hold
        tags, beats = range(g.read_tags), g.read_beats
        self.clearing = clearing = ~u.cleared[-1]
        self.count = named("count", (u.newest - u.oldest_burst)[: len(u.newest)])
        hold(self.count <= g.read_tags, "no more bursts than ids")
        ids = [named(f"id{age}", (u.oldest_burst + age)[: g.tag_id_bits]) for age in tags]
        self.parts = [self.pick(f"part{age}", self.rows.order, number) for age, number in enumerate(ids)]
        self.ids = ids
        self.there = [age < self.count for age in tags]
        self.asked = [self.pick(f"asked{age}", entries, number) for age, number in enumerate(ids)]
        self.offers = [named(f"offers{age}", self.offered & (self.tag == ids[age])) for age in tags]
        due = []  # beats that memory owes
        for number in tags:
            item, offers = entries[number], self.offered & (self.tag == number)
            hold(~item.valid | ~offers, f"{number}: one read at a time")
            hold(~(item.valid & item.number & item.more), f"{number}: one more at most")
            due.append(Mux(item.valid, 1 + item.more, Mux(offers, 1 + self.length, 0)))
        hold(u.due == sum(due), "beats that are due")
        hold(u.due <= beats, "no more than there is room for")

        # The bursts' beats in the buffer: from which on, how many, and how many of them have come.
        self.sent = [named(f"sent{age}", u.number if age == 0 else Const(0, 1)) for age in tags]
        self.left, self.start, self.came = [], [u.oldest], []
        total = Const(0, 1)
        for age, (part, item) in enumerate(zip(self.parts, self.asked, strict=True)):
            left = named(f"left{age}", Mux(self.there[age], 1 + part.len - self.sent[age], 0)[: len(part.len) + 1])
            places = named(f"places{age}", Mux(part.refused, 0, left))
            came = Mux(self.offers[age], 0, Mux(item.valid, item.number, 1 + part.len))
            self.left.append(left)
            self.came.append(named(f"came{age}", came))
            self.start.append(named(f"start{age}", (self.start[age] + places)[: len(u.oldest)]))
            total = total + places
            mine = self.there[age] & ~part.refused
            hold(~self.there[age] | part.refused | (self.came[age] >= self.sent[age]), f"{age}: what left had come")
            hold(~self.offers[age] | stale | (mine & (self.length == part.len)), f"{age}: what is offered")
            hold(~item.valid | item.stale | mine, f"{age}: what is outstanding")
            hold(~(item.valid & ~item.stale) | (item.more + item.number == part.len), f"{age}: its beats")
        taken = named("taken_places", total)
        hold(taken <= beats, "no more than there is room for")
        hold(self.begin == self.start[-1], "where the next burst begins")
        hold(u.places == taken + u.given_back, "places that are taken")
        hold(~u.given_back | self.dut.data.valid, "what has left is there")
        hold((u.number == 0) | ((self.count != 0) & (u.number <= self.parts[0].len)), "the next beat to leave")

        # Which places are filled.
        for ahead in range(beats):
            place = named(f"place{ahead}", (u.oldest + ahead)[: len(u.oldest)])
            filled = []
            for age in tags:
                for beat in range(g.burst_beats):
                    here = self.there[age] & ~self.parts[age].refused & (beat >= self.sent[age])
                    here = here & (beat <= self.parts[age].len)
                    here = here & (place == (self.start[age] + beat - self.sent[age])[: len(place)])
                    filled.append(here & (beat < self.came[age]))
            waits = u.filled & (u.filled_place == place)
            marked = self.rows.rounds[place[:-1]] != place[-1]
            hold(clearing | (marked == (Cat(filled).any() & ~waits)), f"{ahead}: what is filled")
            hold(~waits | Cat(filled).any(), f"{ahead}: what is being filled")
        hold(~u.filled | ((u.filled_place - u.oldest)[: len(u.oldest)] < beats), "where a beat is filled in")

        # Where the beats of an id go.
        for number in tags:
            after, turn = self.rows.next_place[number], self.rows.turns[number]
            hold(clearing | (after.turn == turn), f"{number}: the turn of the last beat")
            cleared = (turn == 0) & (after.turn == 0)
            hold(~clearing | (u.cleared <= number) | cleared, f"{number}: its turn is cleared")
        for age in tags:
            number = ids[age]
            first = self.pick(f"first{age}", self.rows.first_place, number)
            after = self.pick(f"after{age}", self.rows.next_place, number)
            mine = self.there[age] & ~self.parts[age].refused
            none = self.came[age] == 0
            hold(~mine | ((first.turn != after.turn) == none), f"{age}: whether a beat of it has come")
            place = (self.start[age] + self.came[age] - self.sent[age])[: len(u.oldest)]
            right = Mux(none, first.place, after.place) == place
            hold(~mine | (self.came[age] > self.parts[age].len) | right, f"{age}: where its next beat goes")
        for place in range(beats):
            hold(~clearing | (u.cleared <= place) | ~self.rows.rounds[place], f"{place}: it is cleared")
        hold(~u.requests.output.valid & u.requests.input.ready, "no request comes")
        self._quiet(entries, stale)

    def _quiet(self, entries: Array, stale: Value) -> None:
        """After a reset."""
        u = self.u
        hold, quiet = self.hold, self.dut.quiescing
        for name in ("newest", "oldest_burst", "number", "oldest", "given_back", "filled"):
            hold(~quiet | (getattr(u, name) == 0), f"quiet: {name}")
        hold(~quiet | (self.begin == 0), "quiet: begin")
        hold(~quiet | ~self.dut.data.valid, "quiet: no beat")
        hold(~quiet | ~self.bus_fault, "quiet: no fault")
        hold(quiet | ~self.clearing, "all is cleared before it goes on")
        hold(u.cleared <= max(self.g.read_beats, self.g.read_tags), "no more is cleared than there is")
        hold(quiet | ~stale, "nothing is offered from before")
        hold(~quiet | ~self.offered | stale, "only what is from before is offered")
        for number in range(self.g.read_tags):
            entry = entries[number]
            hold(~entry.valid | (entry.stale == quiet), f"{number}: whether it is from before")

    def watched(
        self, spot: Value, watching: Value, ahead: Value, number: Value, watched: data.View, inside: Value
    ) -> None:
        """All about the watched burst. `spot`: the pointer to it among the bursts under way. `watching`, `ahead`,
        `number` and `inside` as in the proof."""
        u, hold, dut = self.u, self.hold, self.dut
        valid = dut.data.valid
        hold(inside == valid + sum(self.left), "beats inside")
        behind = self.named("behind", (spot - u.oldest_burst)[: len(u.newest)])
        here = self.named("here", watching & (behind < self.count))
        last = (behind == 2 * self.g.read_tags - 1) & valid & (ahead == 0) & (number == watched.len)
        hold(~watching | here | last, "its last beat is on offer")
        before, self.mine = valid, []
        for age, part in enumerate(self.parts):
            mine = self.named(f"mine{age}", here & (behind == age))
            self.mine.append(mine)
            if age == 0:
                offered = (u.number != 0) & valid
                right = (ahead == Mux(u.number == 0, valid, 0)) & (number == u.number - offered)
            else:
                right = (ahead == before) & (number == 0)
            hold(~mine | right, f"{age}: what is ahead of it")
            fields = [name for name in watched.shape().members if name in part.shape().members and name != "target"]
            same = Cat(part[name] == watched[name] for name in fields).all()
            hold(~mine | (same & (part.target.as_value()[0] == watched.target)), f"{age}: what it is")
            before = before + self.left[age]
            entry, under_way = self.asked[age], self.there[age] & ~part.refused
            hold(~entry.valid | (entry.mine == mine), f"{age}: whose read it is")
            hold(~self.offers[age] | self.stale | (self.at[0] == mine), f"{age}: whose read is offered")
            address = self.pick(f"address{age}", self.rows.addresses, self.ids[age])
            hold(~under_way | (address[0] == mine), f"{age}: whose address it is")
            for beat in range(self.g.burst_beats):
                place = (self.start[age] + beat - self.sent[age])[: len(u.oldest) - 1]
                row = self.pick(f"row{age}_{beat}", self.rows.store, place)
                come = under_way & (beat >= self.sent[age]) & (beat < self.came[age])
                fault = watched.failed.bit_select(beat, 1)
                hold(~come | (row.data[0] == (mine & (watched.marked == beat))), f"{age}: data")
                hold(~(come & mine) | (row.fault == fault), f"{age}: whether it failed")

    def faults(self, late: Value, late_mine: Value) -> None:
        """What the bus answered in the cycle before is of a burst that is under way."""
        owners = zip(self.there, self.parts, self.ids, self.mine, strict=True)
        right = Cat(
            there & ~part.refused & (self.failed_id == number) & (mine == late_mine)
            for there, part, number, mine in owners
        ).any()
        self.hold(late == self.bus_fault, "a fault of the bus")
        self.hold(~late | right, "whose fault it is")

    def stuck(self, stuck: Value, outstanding: Value, inside: Value) -> None:
        """How soon it goes on. `stuck`: cycles for which nothing was outstanding and no beat was offered, though there
        was something to do."""
        valid = self.dut.data.valid
        busy = self.u.filled | self.bus_fault | self.dut.quiescing
        self.hold((stuck == 0) | ~busy, "stuck: what came before is done")
        self.hold((stuck < 2) | valid | outstanding | (inside != 0), "stuck: a burst is begun")
        self.hold((stuck < 3) | valid | outstanding, "stuck: a beat is on offer")
        self.hold(stuck <= 3, "stuck: for a few cycles")
