"""WorkingList: lists one bank's unique cold rows of a mini-batch as their lookups miss."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Module, Mux, Signal
from amaranth.lib import data, fifo, memory, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.lib.memories import deep
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


class WorkingList(wiring.Component):
    """Takes the tracker's answers in order, and gives every miss its row's place in the bank's lists.

        tags ----> FIFO --.                 .--> table of this mini-batch: tag -> place
        answers -> FIFO --+--> hit: passes  |
                          '--> miss: search-+--> table of the one before: is the tag there? then the row is held

    The two tables change roles with every mini-batch. Each has twice as many entries as there are places and is probed
    linearly, so a search ends at a free entry. An entry is free if its epoch is not the mini-batch's. A table uses an
    epoch again after 255 of its mini-batches. Before that, a walk empties the table.

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

    Throughput: an answer a cycle. Each further probe of a miss takes one cycle more.
    """

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
        m.submodules.tags = tags = fifo.SyncFIFO(width=g.tag_bits, depth=g.queue_depth)
        m.submodules.answers = answers = fifo.SyncFIFO(width=g.slot_bits + 1, depth=g.queue_depth)
        # The answer that is dealt with. The entries that were read for it a cycle ago are compared with it.
        valid = Signal()
        hit = Signal()
        slot = Signal(g.slot_bits)
        tag = Signal(g.tag_bits, reset_less=True)
        done = Signal()
        advance = Signal()
        m.d.comb += [
            tags.w_data.eq(self.tag), tags.w_en.eq(self.tag_valid), tags.r_en.eq(advance & answers.r_rdy),
            answers.w_data.eq(Cat(self.hit, self.slot)), answers.w_en.eq(self.answer_valid),
            answers.r_en.eq(advance), advance.eq(~valid | done),
            self.output_valid.eq(done), self.output_hit.eq(hit),
        ]  # fmt: skip
        with m.If(advance):
            m.d.sync += [valid.eq(answers.r_rdy), Cat(hit, slot).eq(answers.r_data), tag.eq(tags.r_data)]

        # Tables
        layout = _entry_layout(g)
        index_bits = g.local_bits + 1
        current = Signal()  # which table is this mini-batch's
        epochs = Array(Signal(_EPOCH_BITS, name=f"epoch{side}") for side in range(2))
        probe = Signal(index_bits)
        free = Signal(index_bits)
        found_free = Signal()
        index = Signal(index_bits)
        written = Signal(layout)
        insert = Signal()
        walk = Signal(index_bits)
        walking = Signal(2, init=3)
        entries = []
        m.d.comb += [
            index.eq(Mux(advance, tags.r_data[:index_bits], tag[:index_bits] + probe)),
            self.ready.eq(walking == 0),
        ]
        for side in range(2):
            m.submodules[f"table{side}"] = store = memory.Memory(
                shape=layout, depth=1 << index_bits, init=[], attrs=deep(g)
            )
            write = store.write_port()
            read = store.read_port()
            m.d.comb += [
                read.addr.eq(index),
                write.addr.eq(Mux(walking[side], walk, free)),
                write.data.eq(Mux(walking[side], 0, written.as_value())),
                write.en.eq(walking[side] | (insert & (current == side))),
            ]
            entries.append(read.data)
        m.d.sync += walk.eq(walk + 1)
        with m.If(walk == (1 << index_bits) - 1):
            m.d.sync += walking.eq(0)
        with m.If(self.start):
            m.d.sync += [current.eq(~current), self.count.eq(0), self.held_count.eq(0), self.full.eq(0)]
            for side in range(2):
                with m.If(current != side):
                    m.d.sync += epochs[side].eq(Mux(epochs[side] == (1 << _EPOCH_BITS) - 1, 1, epochs[side] + 1))
                    with m.If(epochs[side] == (1 << _EPOCH_BITS) - 1):
                        m.d.sync += [walk.eq(0), walking[side].eq(1)]

        # Search
        here = Signal(layout)
        before = Signal(layout)
        is_here = Signal()
        known = Signal()
        was_there = Signal()
        was_absent = Signal()
        before_done = Signal()
        held = Signal()
        epoch_before = Signal(_EPOCH_BITS)
        # This was written in the cycle in which the entry here was read.
        wrote = Signal()
        wrote_index = Signal(index_bits)
        just_written = Signal(layout)
        last_index = Signal(index_bits)
        m.d.comb += [
            here.eq(
                Mux(wrote & (wrote_index == last_index), just_written.as_value(), Mux(current, entries[1], entries[0]))
            ),
            before.eq(Mux(current, entries[0], entries[1])),
            epoch_before.eq(Mux(current, epochs[0], epochs[1])),
            is_here.eq(here.epoch == Mux(current, epochs[1], epochs[0])),
            known.eq(is_here & (here.tag == tag) & ~found_free),
            was_absent.eq((before.epoch != epoch_before) | (epoch_before == 0)),
            was_there.eq(~was_absent & (before.tag == tag)),
        ]
        now_free = Signal()
        now_before = Signal()
        now_held = Signal()
        room = Signal()
        m.d.comb += [
            now_free.eq(found_free | ~is_here),
            now_before.eq(before_done | was_there | was_absent),
            now_held.eq(Mux(before_done, held, was_there)),
            room.eq(self.count + self.held_count != 1 << g.local_bits),
        ]
        m.d.sync += [last_index.eq(index), wrote.eq(insert), wrote_index.eq(free), just_written.eq(written)]
        first_free = Signal(index_bits)
        m.d.comb += free.eq(Mux(found_free, first_free, last_index))
        place = Signal(place_layout(g))
        m.d.comb += [
            place.number.eq(Mux(now_held, self.held_count, self.count)),
            place.held.eq(now_held),
            place.listed.eq(room),
            written.tag.eq(tag),
            written.epoch.eq(Mux(current, epochs[1], epochs[0])),
            written.place.eq(place),
            self.output.eq(Mux(hit, slot, Mux(self.enable, Mux(known, here.place.as_value(), place.as_value()), 0))),
        ]
        with m.If(valid):
            with m.If(hit | ~self.enable):
                m.d.comb += done.eq(1)
            with m.Elif(known | (now_free & now_before)):
                m.d.comb += [done.eq(1), insert.eq(~known & room)]
                with m.If(~known):
                    m.d.sync += [
                        self.full.eq(self.full | ~room),
                        self.count.eq(self.count + (room & ~now_held)),
                        self.held_count.eq(self.held_count + (room & now_held)),
                    ]
            with m.Else():
                m.d.sync += [
                    probe.eq(probe + 1), found_free.eq(now_free), first_free.eq(free),
                    before_done.eq(now_before), held.eq(now_held),
                ]  # fmt: skip
        with m.If(advance):
            m.d.sync += [probe.eq(1), found_free.eq(0), before_done.eq(0)]

        # Lists
        m.submodules.list = store = memory.Memory(shape=g.tag_bits, depth=1 << g.local_bits, init=[])
        write = store.write_port()
        read = store.read_port(domain=LIST_DOMAIN)

        def place_of(number, is_held):
            return Mux(is_held, ~number, number)[: g.local_bits]

        m.d.comb += [
            write.addr.eq(place_of(place.number, place.held)), write.data.eq(tag), write.en.eq(insert),
            read.addr.eq(place_of(self.list_number, self.list_held)), self.list_tag.eq(read.data),
        ]  # fmt: skip
        return m
