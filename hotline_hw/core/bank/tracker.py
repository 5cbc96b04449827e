"""SrripTracker: one bank's sets and the pipeline that looks keys up in them, and learns on the way."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import data, memory, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import encode, entry_row
from hotline_hw.spec.params import Geometry

from .srrip import SrripUpdate

__all__ = ["SrripTracker", "row_ports", "tracker_budget"]


def tracker_budget(geometry: Geometry) -> data.StructLayout:
    """The run-time budget, broadcast to every bank.

    `set_mask`: sets in use. `ways_low`, `ways_high`: ways in use of a set at or above, and below, `boundary` (a global
    set index). `shift`: log2 of the sets in use in one bank.
    """
    return data.StructLayout(
        {
            "set_mask": geometry.set_bits,
            "ways_low": geometry.ways,
            "ways_high": geometry.ways,
            "boundary": geometry.index_bits,
            "shift": range(geometry.set_bits + 1),
        }
    )


class SrripTracker(wiring.Component):
    """The sets of one bank, and a pipeline that takes one lookup a cycle whatever the keys.

        read          compare        update             write, answer
        set address   tags, patched  SRRIP, patched     (`done` registers)

    A lookup is read from memory while up to two before it have not been written. Both are caught by comparing with
    the lookup in `done`: by the compare stage for the one two ahead (patching what memory gave), by the update stage
    for the one right ahead (whose set comparison was made a stage earlier).

    Ports:
        valid, tag, learn: a lookup; `tag` is the mixed key above the bank.
        answer_valid, answer_hit, answer_slot: its answer, `LATENCY` cycles later.
        inserted, evicted: pulses with the answer.
        bank: this bank's number. budget: payload `tracker_budget`; stable while lookups are in flight.
        row_access: the two below are used; no lookup may be in flight.
        row_set: a set, whose contents are `row_out` a cycle later. row_write: it becomes `row_in`, or empty (`clear`).
    """

    LATENCY = 3

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "valid": In(1),
                "tag": In(geometry.tag_bits),
                "learn": In(1),
                "answer_valid": Out(1),
                "answer_hit": Out(1),
                "answer_slot": Out(geometry.slot_bits),
                "inserted": Out(1),
                "evicted": Out(1),
                "bank": In(geometry.bank_bits),
                "budget": In(tracker_budget(geometry)),
                **row_ports(geometry),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        ways, planes = range(g.ways), range(g.rrpv_bits)

        # Memories: a way's tags, and the state of a set (valid bits, then RRPV planes). They start undefined: after
        # reset the core empties every set before it takes a lookup.
        m.submodules.states = states = memory.Memory(shape=g.ways * (1 + g.rrpv_bits), depth=g.sets, init=[])
        state_read = states.read_port()
        state_write = states.write_port()
        tag_reads, tag_writes = [], []
        for way in ways:
            m.submodules[f"tags{way}"] = tags = memory.Memory(shape=g.tag_bits, depth=g.sets, init=[])
            tag_reads.append(tags.read_port())
            tag_writes.append(tags.write_port())

        def stage(name: str, shape: object = 1) -> Signal:
            return Signal(shape, name=name)

        def state(name: str) -> list[Signal]:
            """Valid bits, then RRPV planes."""
            return [stage(f"{name}_valid", g.ways), *(stage(f"{name}_rrpv{plane}", g.ways) for plane in planes)]

        # Read
        address = Signal(g.set_bits)
        m.d.comb += address.eq(Mux(self.row_access, self.row_set, self.tag[: g.set_bits] & self.budget.set_mask))
        m.d.comb += [port.addr.eq(address) for port in (state_read, *tag_reads)]
        compare_valid, compare_learn = stage("compare_valid"), stage("compare_learn")
        compare_tag, compare_set = stage("compare_tag", g.tag_bits), stage("compare_set", g.set_bits)
        m.d.sync += [
            compare_valid.eq(self.valid),
            compare_learn.eq(self.learn),
            compare_tag.eq(self.tag),
            compare_set.eq(address),
        ]

        # Registers of the last stage, which the two stages before it are patched with.
        done_valid, done_hit = stage("done_valid"), stage("done_hit")
        done_tag, done_set = stage("done_tag", g.tag_bits), stage("done_set", g.set_bits)
        done_hit_ways, done_fill = stage("done_hit_ways", g.ways), stage("done_fill", g.ways)
        done_state = state("done")

        # Compare
        patch = Signal()  # the lookup two ahead left this set as `done` says
        same_tag = Signal()
        match = Signal(g.ways)
        update_valid, update_learn = stage("update_valid"), stage("update_learn")
        update_tag, update_set = stage("update_tag", g.tag_bits), stage("update_set", g.set_bits)
        update_match, update_usable = stage("update_match", g.ways), stage("update_usable", g.ways)
        update_state = state("update")
        follows, follows_tag = stage("follows"), stage("follows_tag")  # the lookup right ahead has this set; this tag
        m.d.comb += [
            patch.eq(done_valid & (done_set == compare_set)),
            same_tag.eq(done_tag == compare_tag),
            match.eq(Cat(port.data == compare_tag for port in tag_reads)),
        ]
        m.d.sync += [
            update_valid.eq(compare_valid),
            update_learn.eq(compare_learn),
            update_tag.eq(compare_tag),
            update_set.eq(compare_set),
            update_match.eq(Mux(patch, (match & ~done_fill) | Mux(same_tag, done_fill, 0), match)),
            update_usable.eq(
                Mux(Cat(self.bank, compare_set) < self.budget.boundary, self.budget.ways_high, self.budget.ways_low)
            ),
            follows.eq(update_valid & (update_set == compare_set)),
            follows_tag.eq(update_tag == compare_tag),
        ]
        for index, part in enumerate(update_state):
            m.d.sync += part.eq(Mux(patch, done_state[index], state_read.data.word_select(index, g.ways)))

        # Update
        m.submodules.update = update = SrripUpdate(ways=g.ways, rrpv_bits=g.rrpv_bits)
        after = [update.next_valid, *update.next_rrpv]
        for part, read, done in zip([update.valid, *update.rrpv], update_state, done_state, strict=True):
            m.d.comb += part.eq(Mux(follows, done, read))
        m.d.comb += [
            update.match.eq(Mux(follows, (update_match & ~done_fill) | Mux(follows_tag, done_fill, 0), update_match)),
            update.usable.eq(update_usable),
            update.learn.eq(update_learn),
        ]
        m.d.sync += [
            done_valid.eq(update_valid),
            done_tag.eq(update_tag),
            done_set.eq(update_set),
            done_hit.eq(update.hit),
            done_hit_ways.eq(update.hit_ways),
            done_fill.eq(update.fill),
            self.inserted.eq(update_valid & update.fill.any()),
            self.evicted.eq(update_valid & update.evict),
        ]
        m.d.sync += [part.eq(value) for part, value in zip(done_state, after, strict=True)]

        # Write
        with m.If(self.row_access):
            m.d.comb += [
                state_write.addr.eq(self.row_set),
                state_write.data.eq(Mux(self.clear, 0, Cat(self.row_in.valid, *self.row_in.rrpv))),
                state_write.en.eq(self.row_write),
            ]
        with m.Else():
            m.d.comb += [
                state_write.addr.eq(update_set),
                state_write.data.eq(Cat(after)),
                state_write.en.eq(update_valid & update_learn),
            ]
        for way, port in enumerate(tag_writes):
            m.d.comb += [
                port.addr.eq(Mux(self.row_access, self.row_set, update_set)),
                port.data.eq(Mux(self.row_access, self.row_in.tags.word_select(way, g.tag_bits), update_tag)),
                port.en.eq(Mux(self.row_access, self.row_write, update_valid & update.fill[way])),
            ]
        m.d.comb += Cat(self.row_out.valid, *self.row_out.rrpv).eq(state_read.data)
        m.d.comb += self.row_out.tags.eq(Cat(port.data for port in tag_reads))

        # Answer: the slot is the entry's position among those in use.
        m.d.comb += [
            self.answer_valid.eq(done_valid),
            self.answer_hit.eq(done_hit),
            self.answer_slot.eq(Cat(self.bank, done_set | encode(done_hit_ways) << self.budget.shift)),
        ]
        return m


def row_ports(geometry: Geometry) -> dict[str, wiring.Member]:
    """Ports for access to whole sets, as `SrripTracker` describes them."""
    return {
        "row_access": In(1), "row_set": In(geometry.set_bits), "row_write": In(1), "clear": In(1),
        "row_in": In(entry_row(geometry)), "row_out": Out(entry_row(geometry)),
    }  # fmt: skip
