"""WorkingList: lists one bank's unique cold rows of a mini-batch as their lookups miss."""

from __future__ import annotations

from itertools import pairwise

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import select_one
from hotline_hw.lib.memories import UNCHECKED, deep
from hotline_hw.spec.params import Geometry

__all__ = ["LIST_DOMAIN", "WorkingList", "answer_bits", "place_layout", "table_bits"]

LIST_DOMAIN = "shell"
"""Clock domain in which lists are read. It runs on while the core's clock is gated."""

_EPOCH_BITS = 8


def place_layout(geometry: Geometry) -> data.StructLayout:
    """The position of a cold row in its bank's lists, if it is `listed`."""
    return data.StructLayout({"number": geometry.local_bits, "held": 1, "listed": 1})


def answer_bits(geometry: Geometry) -> int:
    """Width of an answer to a lookup besides its hit bit. It is a slot, or with a shell a place in a miss."""
    return max(geometry.slot_bits, place_layout(geometry).size) if geometry.working_rows else geometry.slot_bits


def _entry_layout(geometry: Geometry) -> data.StructLayout:
    """An entry of a hash table."""
    return data.StructLayout({"tag": geometry.tag_bits, "epoch": _EPOCH_BITS, "place": place_layout(geometry)})


def table_bits(geometry: Geometry) -> int:
    """Bits of a bank's two hash tables."""
    return 2 * _entry_layout(geometry).size << geometry.local_bits + 1


def _search_layout(geometry: Geometry) -> data.StructLayout:
    """An answer on its way, and how far the search for its row has got.

    index: The entry that is looked at.
    found_free: An entry before it is free. The row is not in this mini-batch's table then.
    target: The first free entry if `found_free`, else `index`. A new row goes there. It is right behind the entry.
    before_done, held: It is known whether the row is in the table of the mini-batch before, and it is.
    """
    index = geometry.local_bits + 1
    return data.StructLayout(
        {
            "valid": 1, "hit": 1, "slot": geometry.slot_bits, "tag": geometry.tag_bits,
            "index": index, "target": index, "found_free": 1, "before_done": 1, "held": 1,
        }
    )  # fmt: skip


class WorkingList(wiring.Component):
    """Takes the tracker's answers in order, and gives every miss its row's place in the bank's lists.

        tags ----> memory --.                 .--> table of this mini-batch: tag -> place
        answers -> memory --+--> hit: passes  |
                            '--> miss: search-+--> table of the one before: is the tag there? then the row is held

        search   read     words      compare   decide   write, answer
                 tables   (latched)
        stage    entry    latched    compared  decided  placed

    The two tables change roles with every mini-batch. Each has twice as many entries as there are places and is probed
    linearly, so a search ends at a free entry. An entry is free if its epoch is not the mini-batch's. A table uses an
    epoch again after 255 of its mini-batches. Before that, a walk empties the table.

    A search enters in each cycle and takes one look at either table. If that is not enough, it goes back to the entry
    to look at the next ones. All that came behind it starts again, from the memories. A look does not see what the four
    searches ahead of it may write, so their targets and tags are compared with its own (`same_target`, `same_row`).

    The list memory holds the rows that are not held from its bottom up, and held rows from its top down.

    Ports:
        start: Pulse, only on an idle core. A new mini-batch's lists begin.
        ready: The walk is over.
        enable: Misses are listed.
        tag_valid, tag: A lookup went to the tracker.
        answer_valid, slot, hit: Its answer came.
        output_valid, output, output_hit: An answer, in order. `output` is its slot or `place_layout`.
        count, held_count: Rows in the lists.
        full: Sticky since `start`. A row found no place.
        list_held, list_number: A row in a list.
        list_tag: Its tag, a cycle later, in LIST_DOMAIN.

    Throughput: an answer a cycle. Each further probe of a miss takes `PROBE` cycles more. Latency: six cycles.
    """

    PROBE = 4
    """Cycles from the entry to the decision, and so from one look of a search to its next."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        tag, local = geometry.tag_bits, geometry.local_bits
        super().__init__(
            {
                "start": In(1), "ready": Out(1), "enable": In(1),
                "tag_valid": In(1), "tag": In(tag),
                "answer_valid": In(1), "slot": In(geometry.slot_bits), "hit": In(1),
                "output_valid": Out(1), "output": Out(answer_bits(geometry)), "output_hit": Out(1),
                "count": Out(local + 1), "held_count": Out(local + 1), "full": Out(1),
                "list_held": In(1), "list_number": In(local), "list_tag": Out(tag),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        names = ("entry", "latched", "compared", "decided", "placed")
        stages = [Signal(_search_layout(g), name=name) for name in names]
        current = Signal()  # which table is this mini-batch's
        epochs = [Signal(_EPOCH_BITS, name=f"epoch{side}") for side in range(2)]
        written = Signal(_entry_layout(g))
        insert = Signal()  # the search in `decided` writes
        back = Signal()  # it goes back to the entry
        done = Signal()
        tables = self._tables(m, stages[0], stages[-1], current, epochs, written, insert)
        self._enter(m, stages, back, done)
        here, before, same_target, same_row = self._look(m, stages, tables, current, epochs)
        wrote = Signal(self.PROBE)  # for each distance, whether the search so far ahead of `decided` has written
        follows = same_row & wrote
        occupied = same_target & wrote
        self._decide(m, stages, here, before, follows, occupied, insert, back, done)
        m.d.sync += [wrote.eq(Cat(insert, wrote)), stages[4].valid.eq(done)]
        place = self._answer(m, stages[4], here, before, follows, occupied, insert)
        m.d.comb += [
            written.tag.eq(stages[-1].tag), written.epoch.eq(Mux(current, epochs[1], epochs[0])),
            written.place.eq(place),
        ]  # fmt: skip
        return m

    def _tables(self, m: Module, entry, placed, current: Signal, epochs: list, written: Signal, insert: Signal) -> list:
        """The two tables. Returns their entries at the index of the search that was at the entry a cycle ago."""
        g = self.geometry
        index_bits = g.local_bits + 1
        walk = Signal(index_bits)
        walking = Signal(2, init=3)
        writes = Signal()  # the search in `placed` does
        entries = []
        m.d.comb += self.ready.eq(walking == 0)
        m.d.sync += [walk.eq(walk + 1), writes.eq(insert)]
        for side in range(2):
            m.submodules[f"table{side}"] = store = memory.Memory(
                shape=_entry_layout(g), depth=1 << index_bits, init=[], attrs=UNCHECKED | deep(g)
            )
            write = store.write_port()
            read = store.read_port()
            m.d.comb += [
                read.addr.eq(entry.index),
                write.addr.eq(Mux(walking[side], walk, placed.target)),
                write.data.eq(Mux(walking[side], 0, written.as_value())),
                write.en.eq(walking[side] | (writes & (current == side))),
            ]
            entries.append(read.data)
        with m.If(walk == (1 << index_bits) - 1):
            m.d.sync += walking.eq(0)
        with m.If(self.start):
            m.d.sync += current.eq(~current)
            for side in range(2):
                with m.If(current != side):
                    m.d.sync += epochs[side].eq(Mux(epochs[side] == (1 << _EPOCH_BITS) - 1, 1, epochs[side] + 1))
                    with m.If(epochs[side] == (1 << _EPOCH_BITS) - 1):
                        m.d.sync += [walk.eq(0), walking[side].eq(1)]
        return entries

    def _enter(self, m: Module, stages: list, back: Signal, done: Signal) -> None:
        """Tags and answers wait in memories until their search is over. Pointers have a bit more than addresses."""
        g = self.geometry
        entry, decided = stages[0], stages[3]
        stores = []
        for name, width in (("tags", g.tag_bits), ("answers", g.slot_bits + 1)):
            m.submodules[name] = store = memory.Memory(shape=width, depth=g.queue_depth, init=[])
            stores.append((store.write_port(), store.read_port(domain="comb")))
        (tag_write, tag_read), (answer_write, answer_read) = stores
        pointer = g.queue_depth.bit_length()
        came = Signal(pointer)  # tags
        answered = Signal(pointer)
        entering = Signal(pointer)
        following = Signal(pointer, init=1)  # the one behind the search in `decided`
        m.d.comb += [
            tag_write.addr.eq(came), tag_write.data.eq(self.tag), tag_write.en.eq(self.tag_valid),
            answer_write.addr.eq(answered), answer_write.data.eq(Cat(self.hit, self.slot)),
            answer_write.en.eq(self.answer_valid),
            tag_read.addr.eq(entering), answer_read.addr.eq(entering),
        ]  # fmt: skip
        with m.If(self.tag_valid):
            m.d.sync += came.eq(came + 1)
        with m.If(self.answer_valid):
            m.d.sync += answered.eq(answered + 1)
        with m.If(done):
            m.d.sync += following.eq(following + 1)

        index = Signal(len(entry.index))
        m.d.comb += index.eq(tag_read.data[: len(index)])
        m.d.sync += [
            *(later.eq(stage) for stage, later in pairwise(stages)),
            stages[1].target.eq(Mux(entry.found_free, entry.target, entry.index)),
        ]
        with m.If(back):
            m.d.sync += [
                entering.eq(following), entry.eq(decided), entry.index.eq(decided.index + 1),
                *(stage.valid.eq(0) for stage in stages[1:]),
            ]  # fmt: skip
        with m.Else():
            m.d.sync += [
                entering.eq(entering + (entering != answered)), entry.valid.eq(entering != answered),
                Cat(entry.hit, entry.slot).eq(answer_read.data), entry.tag.eq(tag_read.data),
                entry.index.eq(index), entry.found_free.eq(0), entry.before_done.eq(0),
            ]  # fmt: skip

    def _look(self, m: Module, stages: list, tables: list, current: Signal, epochs: list) -> tuple:
        """Compares the entries with the row that is searched, and the searches ahead with each that enters.

        Returns, for the search in `decided`:
            here: the entry in this mini-batch's table is `used`, and if so it is the row's, with this `place`. Neither
                counts if a free entry was found before.
            before: whether it is `known` if the row is in the other table, and whether it is (`held`).
            same_target, same_row: for each distance from 1 to 4, whether the search so far ahead has its target here,
                and whether it is for the same row.
        """
        entry, compared, ahead = stages[0], stages[2], stages[1:]
        words = [Signal(_entry_layout(self.geometry), name=f"word{side}") for side in range(2)]
        here = Signal(data.StructLayout({"used": 1, "match": 1, "place": place_layout(self.geometry)}))
        before = Signal(data.StructLayout({"known": 1, "held": 1}))
        begun = Signal(2)  # tables that were a mini-batch's
        used = Signal(2)
        match = Signal(2)
        m.d.sync += begun.eq(Cat(epoch != 0 for epoch in epochs))
        for side, (word, read) in enumerate(zip(words, tables, strict=True)):
            m.d.sync += word.eq(read)
            m.d.comb += [
                used[side].eq(begun[side] & (word.epoch == epochs[side])),
                match[side].eq(used[side] & (word.tag == compared.tag)),
            ]
        was_used, was_match = Mux(current, used[0], used[1]), Mux(current, match[0], match[1])
        m.d.sync += [
            here.used.eq(Mux(current, used[1], used[0]) & ~compared.found_free),
            here.match.eq(Mux(current, match[1], match[0]) & ~compared.found_free),
            here.place.eq(Mux(current, words[1].place.as_value(), words[0].place.as_value())),
            before.known.eq(compared.before_done | was_match | ~was_used),
            before.held.eq(Mux(compared.before_done, compared.held, was_match)),
        ]
        flags = []
        for name, equal in (
            ("target", [stage.target == entry.index for stage in ahead]),
            ("row", [(stage.target == entry.index) & (stage.tag == entry.tag) for stage in ahead]),
        ):
            later = [Signal(len(ahead), name=f"same_{name}_{stage}") for stage in ("latched", "compared", "decided")]
            m.d.sync += [later[0].eq(Cat(equal)), *(after.eq(flag) for flag, after in pairwise(later))]
            flags.append(later[-1])
        return here, before, *flags

    def _decide(
        self, m: Module, stages: list, here, before, follows: Value, occupied: Value, insert: Signal, back: Signal,
        done: Signal,
    ) -> None:  # fmt: skip
        """What becomes of the search in `decided`: its row is known, or new, or it needs another look.

        Args:
            follows, occupied: For each distance, whether the search so far ahead wrote the row, or wrote here.
        """
        entry, _, compared, decided, _ = stages
        known = Signal()
        free = Signal()
        new = Signal()
        room = Signal()
        passes = Signal()  # it is not for a list
        total = Signal(self.geometry.local_bits + 1)  # rows in both lists
        m.d.sync += passes.eq(compared.hit | ~self.enable)
        m.d.comb += [
            known.eq(here.match & ~occupied[-1] | follows.any()),  # what is read while it is written says nothing
            free.eq(~(here.used | occupied.any())),
            room.eq(~total[-1]),
            done.eq(decided.valid & (passes | known | (free & before.known))),
            back.eq(decided.valid & ~done),
            new.eq(decided.valid & ~passes & ~known & free & before.known),
            insert.eq(new & room),
        ]
        m.d.sync += [
            total.eq(total + insert), self.full.eq(self.full | (new & ~room)),
            self.count.eq(self.count + (insert & ~before.held)),
            self.held_count.eq(self.held_count + (insert & before.held)),
        ]  # fmt: skip
        with m.If(back):
            m.d.sync += [entry.found_free.eq(free), entry.before_done.eq(before.known), entry.held.eq(before.held)]
        with m.If(self.start):
            m.d.sync += [count.eq(0) for count in (self.count, self.held_count, total, self.full)]

    def _answer(
        self, m: Module, placed, here, before, follows: Value, occupied: Value, insert: Signal
    ) -> data.View:  # fmt: skip
        """Answers for the search in `placed`, and puts a new row into a list. Returns the place of a new row."""
        g = self.geometry
        layout = place_layout(g)
        own, known, place = Signal(layout, name="own"), Signal(layout, name="known_place"), Signal(layout, name="place")
        is_known = Signal()
        followed = Signal(self.PROBE)
        past = [Signal(layout, name=f"place{ago}") for ago in range(1, self.PROBE + 1)]
        m.d.sync += [
            own.number.eq(Mux(before.held, self.held_count, self.count)), own.held.eq(before.held),
            own.listed.eq(insert), known.eq(here.place), is_known.eq(here.match & ~occupied[-1]), followed.eq(follows),
            past[0].eq(place), *(later.eq(sooner) for sooner, later in pairwise(past)),
        ]  # fmt: skip
        m.d.comb += [
            place.eq(Mux(is_known, known.as_value(), Mux(followed.any(),
                     select_one(followed, [item.as_value() for item in past]), own.as_value()))),
            self.output_valid.eq(placed.valid), self.output_hit.eq(placed.hit),
            self.output.eq(Mux(placed.hit, placed.slot, Mux(self.enable, place.as_value(), 0))),
        ]  # fmt: skip

        m.submodules.list = store = memory.Memory(shape=g.tag_bits, depth=1 << g.local_bits, init=[], attrs=UNCHECKED)
        write = store.write_port()
        read = store.read_port(domain=LIST_DOMAIN)

        def place_of(number, is_held):
            return Mux(is_held, ~number, number)[: g.local_bits]

        m.d.comb += [
            write.addr.eq(place_of(own.number, own.held)), write.data.eq(placed.tag), write.en.eq(own.listed),
            read.addr.eq(place_of(self.list_number, self.list_held)), self.list_tag.eq(read.data),
        ]  # fmt: skip
        return own
