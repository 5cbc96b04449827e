"""What WorkingList holds. So the proof in test_working.py is one by induction."""

from __future__ import annotations

from types import SimpleNamespace

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import data

from hotline_hw.core.bank.working import WorkingList
from hotline_hw.spec.params import Geometry
from tests.formal.inside import Claims, keep_signals

__all__ = ["Inside"]

PLACED = 4  # the stage whose search is answered, and is written


class Inside(Claims):
    """Adds assertions to a module.

    Searches are in stages 0 (the entry) to 4 (placed). Those that have left are at positions 5 to 8, for four cycles.

    Args:
        dut: elaborated here, as `module`.
    """

    def __init__(self, m: Module, g: Geometry, dut: WorkingList, block: type[WorkingList], stores: list) -> None:
        super().__init__(m)
        self.g, self.dut, self.stores = g, dut, stores
        self.u, self.tables, self.enter, self.look, self.decide, self.answer = [
            keep_signals(dut, name, of=block)
            for name in ("elaborate", "_tables", "_enter", "_look", "_decide", "_answer")
        ]

    def elaborate(self) -> Module:
        self.module = module = self.dut.elaborate(None)
        u, m = self.u, self.m
        signals = {signal.name: signal for signal in module._driving}
        self.same_target = [signals[f"same_target_{name}"] for name in ("latched", "compared", "decided")]
        self.same_row = [signals[f"same_row_{name}"] for name in ("latched", "compared", "decided")]
        gone = [Signal(u.stages[0].shape(), name=f"gone{ago}") for ago in range(1, 5)]
        older = Signal()  # what was written five cycles ago
        m.d.sync += [there.eq(here) for here, there in zip([u.stages[PLACED], *gone], gone, strict=False)]
        m.d.sync += older.eq(u.wrote[-1])
        self.stages = [*u.stages, *gone]
        self.wrote = [*u.wrote, older]  # wrote[n]: the search at position 4 + n has
        return module

    def state(self, lookups: SimpleNamespace, enabled: Value, batch: SimpleNamespace, watch: Value, known: data.View,
              counts: Array, full: Value) -> None:  # fmt: skip
        """All of it.

        Args:
            lookups: `came`, `answered`, `out` (pointers), `tags` and `hits` of those that wait for their answer.
            enabled: `enable` of the cycle before.
            batch: `side`, `walk`, `walking`, `epochs`, and whether it starts (`start`).
            watch, known, counts, full: as in the proof.
        """
        self.counts, self.known, self.watch, self.enabled, self.ref = counts, known, watch, enabled, lookups
        self.total = self.named("total_listed", counts[0] + counts[1])
        self.hold(self.total <= 1 << self.g.local_bits, "no more rows than places")
        self._start(batch)
        self._numbers()
        self._entries(batch)
        self._gone(batch)
        for stage in range(1, 4):
            self._flags(stage)
        for stage in range(PLACED):
            self._progress(stage)
        self._read()
        self._compared()
        self._decided()
        self._placed(full)

    def _start(self, batch: SimpleNamespace) -> None:
        u, t, hold = self.u, self.tables, self.hold
        firsts = [store.first for store in self.stores]
        lookups = self.ref
        quiet = (lookups.came == 0) & (lookups.answered == 0) & (lookups.out == 0) & (self.total == 0)
        for first in firsts:
            hold(first == firsts[0], "the first cycle")
        hold(~firsts[0] | (quiet & batch.walking[0] & batch.walking[1] & (batch.walk == 0)), "the first cycle: walks")
        hold(~firsts[0] | (~self.known.listed & ~self.known.was), "the first cycle: nothing is listed")
        hold(u.current == batch.side, "the table of this mini-batch")
        hold(t.walk == batch.walk, "the walk")
        hold(t.walking == Cat(batch.walking), "what walks")
        for index, (epoch, same) in enumerate(zip(u.epochs, batch.epochs, strict=True)):
            hold(epoch == same, f"{index}: the epoch")
        self.epoch = self.named("epoch_now", Mux(u.current, u.epochs[1], u.epochs[0]))
        hold((self.epoch != 0) | ~self.enabled, "nothing is listed before the first mini-batch")
        hold((self.epoch != 0) | (~self.known.listed & ~self.known.was), "nothing was listed before the first")
        hold(self.dut.ready | ((self.total == 0) & ~self.known.listed), "nothing is listed while it walks")
        hold((self.total == 0) | self.enabled, "nothing is listed that is not to be")

    def _numbers(self) -> None:
        """Which lookup is in which stage."""
        e, ref, hold = self.enter, self.ref, self.hold
        bits = len(ref.came)
        depth = len(ref.tags)
        valid = [stage.valid for stage in self.stages[: PLACED + 1]]
        self.valid = valid
        hold((e.came == ref.came) & (e.answered == ref.answered), "tags and answers that came")
        inside = self.named("inside_now", (ref.came - ref.out)[:bits])
        self.inside = inside
        here = self.named("answered_now", (ref.answered - ref.out)[:bits])
        self.answered = here
        hold((inside <= depth) & (here <= inside), "lookups inside")
        hold(self.dut.ready | (inside == 0), "none while it walks")
        hold(e.following == (ref.out + valid[PLACED] + 1)[:bits], "the one behind")
        entered = self.named("entered", sum(valid, Const(0)))
        hold(entered <= here, "those in stages have come")
        hold(e.entering == (ref.out + entered)[:bits], "the next one to enter")
        for age in range(depth):
            at = (ref.out + age)[: bits - 1]
            tag = self.pick(f"tag{age}", Array(self.stores[2].rows), at)
            hit = self.pick(f"hit{age}", Array(self.stores[3].rows), at)
            hold((inside <= age) | (tag == self.pick(f"ref_tag{age}", ref.tags, at)), f"{age}: its tag")
            hold((here <= age) | (hit[0] == self.pick(f"ref_hit{age}", ref.hits, at)), f"{age}: hit or miss")
        for index in range(PLACED + 1):
            at = (ref.out + sum(valid[index + 1 :], Const(0)))[: bits - 1]
            right = self.stages[index].tag == self.pick(f"stage_tag{index}", ref.tags, at)
            right = right & (self.stages[index].hit == self.pick(f"stage_hit{index}", ref.hits, at))
            hold(~valid[index] | right, f"stage {index}: whose search it is")
        hold(~valid[3] | (self.decide.passes == (self.stages[3].hit | ~self.enabled)), "what needs no place")
        self.searches = [
            self.named(f"searches{index}", valid[index] & ~self.stages[index].hit & self.enabled)
            for index in range(PLACED + 1)
        ]

    def _entries(self, batch: SimpleNamespace) -> None:
        """The tables, besides what is said of the watched row."""
        u, hold = self.u, self.hold
        tables = [store.rows for store in self.stores[:2]]
        rows = [[self.named(f"now{index}", Mux(u.current, b.as_value(), a.as_value())),
                 self.named(f"then{index}", Mux(u.current, a.as_value(), b.as_value()))]
                for index, (a, b) in enumerate(zip(*tables, strict=True))]  # fmt: skip
        shape = tables[0][0].shape()
        self.shape = shape
        self.now = [data.View(shape, row[0]) for row in rows]
        self.then = [data.View(shape, row[1]) for row in rows]
        before = self.named("epoch_then", Mux(u.current, u.epochs[0], u.epochs[1]))
        walks, walks_then = (Mux(u.current, *pair) for pair in (batch.walking[::-1], batch.walking))
        self.used = [self.named(f"used{n}", (row.epoch == self.epoch) & (self.epoch != 0) & ~walks)
                     for n, row in enumerate(self.now)]  # fmt: skip
        self.used_then = [self.named(f"used_then{n}", (row.epoch == before) & (before != 0) & ~walks_then)
                          for n, row in enumerate(self.then)]  # fmt: skip
        hold(sum(self.used_then, Const(0)) <= 1 << self.g.local_bits, "no more rows than places before")
        hold(walks | (sum(self.used, Const(0)) == self.total), "an entry a row, now")
        for n, row in enumerate(self.now):
            counted = row.place.listed & (row.place.number < self.counts[row.place.held])
            hold(~self.used[n] | counted, f"{n}: its place is counted")
            hold(~self.used[n] | self._chain(row.tag, n - row.tag, self.used), f"{n}: a search gets there")
            for other in range(n):
                twice = self.used[n] & self.used[other] & (row.tag == self.now[other].tag)
                hold(~twice, f"{n}, {other}: a row has one entry")

    def _chain(self, home: Value, distance: Value, used: list) -> Value:
        """Every entry from `home` on is used, up to `distance` of them, which is less than there are."""
        size = len(used)
        array = Array(used)
        bits = (size - 1).bit_length()
        distance = distance[:bits]
        return Cat((offset >= distance) | array[(home + offset)[:bits]] for offset in range(size - 1)).all()

    def _absent(self, tag: Value, distance: Value, used: list, rows: list) -> Value:
        """None of these entries is of the row."""
        size = len(used)
        bits = (size - 1).bit_length()
        same = Array(here & (row.tag == tag) for here, row in zip(used, rows, strict=True))
        distance = distance[:bits]
        return Cat((offset >= distance) | ~same[(tag + offset)[:bits]] for offset in range(size - 1)).all()

    def _gone(self, batch: SimpleNamespace) -> None:
        """Searches that have left. `late[n]`: a mini-batch started after what wrote[n] tells."""
        u, hold, wrote = self.u, self.hold, self.wrote
        late = [Signal(name=f"late{index}") for index in range(5)]
        self.m.d.sync += [there.eq(here | batch.start) for here, there in zip([Const(0), *late], late, strict=False)]
        hold(~(wrote[0] & late[0]), "a start: nothing is being written")
        hold(~(wrote[1] & late[1]) | (self.inside == 0), "a start: nothing is inside")
        hold(~(wrote[2] & late[2]) | (self.answered == 0), "a start: nothing is answered")
        hold(~(wrote[3] & late[3]) | ~Cat(self.valid).any(), "a start: nothing is in a stage")
        hold(~(wrote[4] & late[4]) | ~Cat(self.valid[1:]).any(), "a start: nothing is behind the entry")
        self.late = late
        hold(u.wrote[0] == self.answer.own.listed, "what is listed is written")
        hold(self.tables.writes == u.wrote[0], "what is listed is written into the table")
        fresh = [self.named(f"fresh{index}", wrote[index] & ~late[index]) for index in range(5)]
        self.fresh = fresh
        for index in range(1, 5):
            gone = self.stages[PLACED + index]
            row = self.pick(f"written{index}", Array(item.as_value() for item in self.now), gone.target)
            row = data.View(self.shape, row)
            past = self.answer.past[index - 1]
            used = self.named(f"written_used{index}", Array(self.used)[gone.target])
            hold(~fresh[index] | (used & (row.tag == gone.tag)), f"gone {index}: it is in the table")
            hold(~fresh[index] | (row.place.as_value() == past.as_value()), f"gone {index}: its place")
        for high in range(5):
            for low in range(high):
                same = self.stages[PLACED + low].target == self.stages[PLACED + high].target
                hold(~(fresh[low] & fresh[high] & same), f"{low}, {high}: an entry is written once")

    def _flags(self, stage: int) -> None:
        search = self.stages[stage]
        for distance in range(1, 5):
            ahead = self.stages[stage + distance]
            target = ahead.target == search.index
            row = target & (ahead.tag == search.tag)
            flags = self.same_target[stage - 1][distance - 1], self.same_row[stage - 1][distance - 1]
            self.hold(~self.valid[stage] | (Cat(flags) == Cat(target, row)), f"stage {stage}: {distance} ahead")

    def _progress(self, stage: int) -> None:
        """How far a search has got."""
        hold, search, searches, name = self.hold, self.stages[stage], self.searches[stage], f"stage {stage}: "
        bits = len(search.index)
        distance = self.named(f"distance{stage}", (search.index - search.tag)[:bits])
        free = self.named(f"free_distance{stage}", (search.target - search.tag)[:bits])
        first = (distance == 0) & ~search.found_free & ~search.before_done
        again = self.named(f"again{stage}", self.valid[stage] & ~first)
        ahead = Cat(self.valid[stage + 1 :]).any() | Cat(self.wrote[: stage + 1]).any()
        hold(~again | ~ahead, name + "it goes on alone")
        hold(~again | (searches & (distance != 0)), name + "it is a search that goes on")
        hold(~again | ~(search.found_free & search.before_done), name + "for want of a place")

        # This mini-batch's table, up to the free entry that was found. `target` is that of the stages behind the entry.
        end = Mux(search.found_free, free, distance)
        looked = self._chain(search.tag, end, self.used) & self._absent(search.tag, end, self.used, self.now)
        hold(~searches | looked, name + "it is not before")
        found = searches & search.found_free
        hold(~found | (~Array(self.used)[search.target] & (free < distance)), name + "the free entry")
        if stage:
            hold(~searches | search.found_free | (search.target == search.index), name + "its target")

        # The table of the mini-batch before.
        mine = searches & (search.tag == self.watch)
        hold(
            ~searches | search.before_done | self._chain(search.tag, distance, self.used_then), name + "what was before"
        )
        absent = self._absent(search.tag, distance, self.used_then, self.then)
        hold(~mine | Mux(search.before_done, search.held == self.known.was, absent), name + "whether it was listed")

    def _row(self, name: str, index: Value) -> tuple:
        now = data.View(self.shape, self.pick(f"{name}_now", Array(row.as_value() for row in self.now), index))
        then = data.View(self.shape, self.pick(f"{name}_then", Array(row.as_value() for row in self.then), index))
        used = self.named(f"{name}_used", Array(self.used)[index])
        used_then = self.named(f"{name}_used_then", Array(self.used_then)[index])
        return now, then, used, used_then

    def _read(self) -> None:
        u, search = self.u, self.stages[1]
        now, then, _, _ = self._row("read", search.index)
        sides = [entry.as_value() for entry in u.tables]
        here, there = Mux(u.current, sides[1], sides[0]), Mux(u.current, sides[0], sides[1])
        unknown = self.wrote[1] & self.same_target[0][3]
        self.hold(~self.searches[1] | unknown | (here == now.as_value()), "the entry that was read")
        self.hold(~self.searches[1] | (there == then.as_value()), "the other entry that was read")

    def _compared(self) -> None:
        u, search, flags = self.u, self.stages[2], self.same_target[1]
        now, then, _, _ = self._row("compared", search.index)
        words = [word.as_value() for word in self.look.words]
        here = data.View(self.shape, self.named("word_now", Mux(u.current, words[1], words[0])))
        there = Mux(u.current, words[0], words[1])
        unknown, written = self.wrote[2] & flags[3], self.wrote[1] & flags[2]
        mine = self.searches[2]
        right = Mux(written, here.epoch != self.epoch, here.as_value() == now.as_value())
        self.hold(~mine | unknown | right, "the entry that is compared")
        self.hold(~mine | (there == then.as_value()), "the other entry that is compared")
        self.hold(~self.valid[2] | (self.look.begun == Cat(epoch != 0 for epoch in u.epochs)), "tables in use")

    def _decided(self) -> None:
        u, search, flags = self.u, self.stages[3], self.same_target[2]
        now, then, used, used_then = self._row("decided", search.index)
        mine = self.searches[3]
        unknown, written = self.wrote[3] & flags[3], (self.wrote[1] & flags[1]) | (self.wrote[2] & flags[2])
        here, before = u.here, u.before
        is_used = used & ~search.found_free & ~written
        match = is_used & (now.tag == search.tag)
        self.hold(~mine | unknown | (here.used == is_used), "whether the entry is in use")
        self.hold(~mine | unknown | (here.match == match), "whether it is the row's")
        self.hold(~mine | unknown | ~match | (here.place.as_value() == now.place.as_value()), "its place")
        matched = used_then & (then.tag == search.tag)
        self.hold(~mine | (before.known == (search.before_done | matched | ~used_then)), "whether it is known")
        self.hold(~mine | (before.held == Mux(search.before_done, search.held, matched)), "whether it is held")

    def _placed(self, full: Value) -> None:
        a, hold, counts, known = self.answer, self.hold, self.counts, self.known
        search, mine, own, dut = self.stages[PLACED], self.searches[PLACED], self.answer.own, self.dut
        listed, watched = own.listed, self.searches[PLACED] & (self.stages[PLACED].tag == self.watch)
        room = 1 << self.g.local_bits
        bits = len(search.index)
        free = (search.target - search.tag)[:bits]
        hold(~listed | mine, "placed: what is listed is a search")
        hold(~listed | ((own.number == counts[own.held]) & (self.total != room)), "placed: the next place")
        hold(~listed | ~Array(self.used)[search.target], "placed: its entry is free")
        looked = self._chain(search.tag, free, self.used)
        looked &= self._absent(search.tag, Const(-1, bits), self.used, self.now)
        hold(~listed | looked, "placed: it was searched")
        hold(~listed | ~(a.is_known | a.followed.any()), "placed: it is new")
        hold(~(listed & watched) | (~known.listed & (own.held == known.was)), "placed: it was not listed")
        hold(~mine | ~a.is_known | (a.known.listed & (a.known.number < counts[a.known.held])), "placed: it is known")
        hold(~(watched & a.is_known) | (known.listed & (a.known.as_value() == known.place.as_value())), "placed: where")
        for distance in range(1, 5):
            ahead = self.stages[PLACED + distance]
            right = self.fresh[distance] & (ahead.tag == search.tag)
            hold(~mine | ~a.followed[distance - 1] | right, f"placed: it follows, {distance}")
        nowhere = mine & ~listed & ~a.is_known & ~a.followed.any()
        hold(~nowhere | (self.total == room), "placed: no room")
        hold(~(nowhere & watched) | ~known.listed, "placed: it is not listed")
        hold(~(a.is_known & a.followed.any() & mine), "placed: known for one reason")
        total = self.decide.total
        hold(total == self.total + listed, "rows in both lists")
        hold(dut.count == counts[0] + (listed & ~own.held), "rows that are not held")
        hold(dut.held_count == counts[1] + (listed & own.held), "rows that are held")
        hold(dut.full == (full | nowhere), "full")
        at = Mux(known.place.held, ~known.place.number, known.place.number)[: self.g.local_bits]
        row = self.pick("list_row", Array(self.stores[4].rows), at)
        hold(~known.listed | (row == self.watch), "the list has it")

    def waits(self, waits: Value, walks: Value, walk: Value) -> None:
        hold, probe = self.hold, self.dut.PROBE
        oldest = Cat(self.valid)
        for stage in range(4):
            bits = len(self.stages[stage].index)
            distance = (self.stages[stage].index - self.stages[stage].tag)[:bits]
            first = self.valid[stage] & ~oldest[stage + 1 :].any()
            steps = Mux(self.searches[stage], distance, 0)
            hold(~first | (waits <= 1 + stage + probe * steps), f"stage {stage}: how long it waits")
            hold(~first | (steps <= 1 << self.g.local_bits), f"stage {stage}: how far it goes")
        hold(oldest.any() | (waits == 0), "it enters at once")
        hold(self.dut.ready | (walks == walk), "the walk goes on")
        hold(walks <= len(self.used), "and ends")
