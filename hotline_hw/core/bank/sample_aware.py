"""SampleAwareTracker: one bank's sets, with a pipeline that looks keys up in them and one that learns."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import memory, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.budget import tracker_budget
from hotline_hw.core.layouts import Eligible, encode, entry_row
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import AGE_FIELD

from .counter_update import CounterUpdate

__all__ = ["SampleAwareTracker", "row_ports"]


class SampleAwareTracker(wiring.Component):
    """The sets of one bank. Lookups and updates each go through a pipeline of their own, one a cycle.

        lookup    read            match               read slot    answer
                  tags (port A)   tags and hot bits
        update    read            compare             update       (`done` registers)
                  tags (port B)   tags, patched       counters, patched; write

    Lookups only read. Within a mini-batch no hot bit changes and no hot entry is driven out, so what a lookup sees does
    not depend on how many updates have been written.

    An update is read from memory while up to two updates before it have not been written. Two comparisons with the
    update in the `done` registers make up for that. The compare stage patches what memory gave with the update two
    ahead. The update stage patches it with the update right ahead, whose set it compared a stage earlier.

    An update that takes a key in writes the tag through port B. In that cycle no update is read (`update_ready` is
    low). So a tag memory needs two ports: one reads, the other reads or writes.

    Ports:
        valid, tag: A lookup.
        answer_valid, answer_hit, answer_slot: The answer to a lookup, `LATENCY` cycles later.
        update_valid, update_tag, update_weight: An update. It is taken if `update_ready` is high.
        update_ready: No tag is being written.
        updating: An update has been taken and is not written yet.
        inserted, evicted, revived, returned: Event pulses, see `CounterUpdate`.
        bank: This bank's number.
        budget: `tracker_budget`. It must be stable.
        age_period: Register AGE_PERIOD.
        row_access: The ports below are used. No lookup and no update may be in flight.
        row_set: A set. `row_out` is its contents, one cycle later.
        row_write: The set becomes `row_in`, or empty if `clear` is high.
        row_way: A way of the set. `slot_out` is its slot, one cycle later.
        slot_write: The slot becomes `slot_in`.
        level, wanted: Which entries are eligible, see `Eligible`.
        eligible: How many entries of the set that was read a cycle ago are eligible, one more cycle later.
        load: The eligible entries of the set that was read become the current ones.
        any_left: A current entry is left.
        pick_way, pick_tag: The lowest current entry. `row_set` must not change.
        pick_take: The entry in `row_way` is taken: its hot bit flips. It gets slot `slot_in` if `make_hot` is high.
    """

    LATENCY = 3

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "valid": In(1), "tag": In(geometry.tag_bits),
                "answer_valid": Out(1), "answer_hit": Out(1), "answer_slot": Out(geometry.slot_bits),
                "update_valid": In(1), "update_tag": In(geometry.tag_bits), "update_weight": In(geometry.weight_bits),
                "update_ready": Out(1), "updating": Out(1),
                "inserted": Out(1), "evicted": Out(1), "revived": Out(1), "returned": Out(1),
                "bank": In(geometry.bank_bits), "budget": In(tracker_budget(geometry)),
                "age_period": In(AGE_FIELD.width),
                **row_ports(geometry),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        ways = range(g.ways)

        # Memories start undefined: after reset the core empties every set before it takes a lookup.
        def sets(name: str, shape: int, depth: int = g.sets) -> memory.Memory:
            m.submodules[name] = store = memory.Memory(shape=shape, depth=depth, init=[])
            return store

        states = sets("states", g.ways * (2 + g.counter_bits) + AGE_FIELD.width)  # valid, referenced, counters, age
        hots = sets("hots", g.ways)
        slots = sets("slots", g.slot_bits, g.sets << g.way_bits)
        tags = [sets(f"tags{way}", g.tag_bits) for way in ways]
        lookup_tags, update_tags = [store.read_port() for store in tags], [store.read_port() for store in tags]
        tag_writes = [store.write_port() for store in tags]
        lookup_hot = hots.read_port()
        update_hot = hots.read_port()
        hot_write = hots.write_port()
        state_read = states.read_port()
        state_write = states.write_port()
        slot_read = slots.read_port()
        slot_write = slots.write_port()

        # Lookups: nothing but reading
        lookup_set = Signal(g.set_bits)
        match_set = Signal(g.set_bits)
        match_valid = Signal()
        match_tag = Signal(g.tag_bits)
        hit_ways = Signal(g.ways)
        slot_valid = Signal()
        slot_hit = Signal()
        slot_set = Signal(g.set_bits)
        slot_way = Signal(g.way_bits)
        m.d.comb += [
            lookup_set.eq(self.tag[: g.set_bits] & self.budget.set_mask),
            lookup_hot.addr.eq(lookup_set),
            *(port.addr.eq(lookup_set) for port in lookup_tags),
            hit_ways.eq(Cat(port.data == match_tag for port in lookup_tags) & lookup_hot.data),
            slot_read.addr.eq(Mux(self.row_access, Cat(self.row_way, self.row_set), Cat(slot_way, slot_set))),
            self.answer_slot.eq(slot_read.data),
            self.slot_out.eq(slot_read.data),
        ]
        m.d.sync += [
            match_valid.eq(self.valid), match_tag.eq(self.tag), match_set.eq(lookup_set),
            slot_valid.eq(match_valid), slot_hit.eq(hit_ways.any()), slot_set.eq(match_set),
            slot_way.eq(encode(hit_ways)),
            self.answer_valid.eq(slot_valid), self.answer_hit.eq(slot_hit),
        ]  # fmt: skip

        # Updates
        state_layout = [("valid", g.ways), ("referenced", g.ways), ("age", AGE_FIELD.width)]
        state_layout += [(f"counter{way}", g.counter_bits) for way in ways]

        def state(stage: str) -> list[Signal]:
            return [Signal(bits, name=f"{stage}_{name}") for name, bits in state_layout]

        def split(word) -> list:
            parts, low = [], 0
            for _, bits in state_layout:
                parts.append(word[low : low + bits])
                low += bits
            return parts

        # Read. The tags' port B writes instead where the update stage takes a key in.
        stage_set = Signal(g.set_bits)
        writes_tag = Signal()
        read_set = Signal(g.set_bits)
        tag_address = Signal(g.set_bits)
        m.d.comb += [
            read_set.eq(Mux(self.row_access, self.row_set, self.update_tag[: g.set_bits] & self.budget.set_mask)),
            tag_address.eq(Mux(writes_tag, stage_set, read_set)),
            self.update_ready.eq(~writes_tag),
            state_read.addr.eq(read_set),
            update_hot.addr.eq(read_set),
            *(port.addr.eq(tag_address) for port in (*update_tags, *tag_writes)),
        ]
        compare_valid = Signal()
        compare_tag = Signal(g.tag_bits)
        compare_set = Signal(g.set_bits)
        compare_weight = Signal(g.weight_bits)
        m.d.sync += [
            compare_valid.eq(self.update_valid & self.update_ready),
            compare_tag.eq(self.update_tag),
            compare_set.eq(read_set),
            compare_weight.eq(self.update_weight),
        ]

        # Compare
        done_valid = Signal()
        done_tag = Signal(g.tag_bits)
        done_set = Signal(g.set_bits)
        done_fill = Signal(g.ways)
        done_state = state("done")
        stage_valid = Signal()
        stage_tag = Signal(g.tag_bits)
        stage_weight = Signal(g.weight_bits)
        stage_match = Signal(g.ways)
        stage_usable = Signal(g.ways)
        stage_hot = Signal(g.ways)
        stage_state = state("stage")
        follows = Signal()  # the update right ahead has this set
        follows_tag = Signal()  # and this tag
        patch = Signal()  # the update two ahead left this set as `done` says
        match = Signal(g.ways)
        m.d.comb += [
            patch.eq(done_valid & (done_set == compare_set)),
            match.eq(Cat(port.data == compare_tag for port in update_tags)),
        ]
        m.d.sync += [
            stage_valid.eq(compare_valid),
            stage_tag.eq(compare_tag),
            stage_set.eq(compare_set),
            stage_weight.eq(compare_weight),
            stage_hot.eq(update_hot.data),
            stage_match.eq(
                Mux(patch, (match & ~done_fill) | Mux(done_tag == compare_tag, done_fill, 0), match)
            ),
            stage_usable.eq(
                Mux(Cat(self.bank, compare_set) < self.budget.boundary, self.budget.ways_high, self.budget.ways_low)
            ),
            follows.eq(stage_valid & (stage_set == compare_set)),
            follows_tag.eq(stage_tag == compare_tag),
            *(part.eq(Mux(patch, done, read))
              for part, done, read in zip(stage_state, done_state, split(state_read.data), strict=True)),
        ]  # fmt: skip

        # Update
        m.submodules.update = update = CounterUpdate(g)
        before = [update.valid, update.referenced, update.age, *update.counter]
        after = [update.next_valid, update.next_referenced, update.next_age, *update.next_counter]
        m.d.comb += [
            *(part.eq(Mux(follows, done, read))
              for part, done, read in zip(before, done_state, stage_state, strict=True)),
            update.hot.eq(stage_hot),
            update.match.eq(Mux(follows, (stage_match & ~done_fill) | Mux(follows_tag, done_fill, 0), stage_match)),
            update.usable.eq(stage_usable),
            update.weight.eq(stage_weight),
            update.age_period.eq(self.age_period),
            writes_tag.eq(stage_valid & update.fill.any()),
            self.updating.eq(compare_valid | stage_valid),
        ]  # fmt: skip
        m.d.sync += [
            done_valid.eq(stage_valid),
            done_tag.eq(stage_tag),
            done_set.eq(stage_set),
            done_fill.eq(update.fill),
            *(part.eq(value) for part, value in zip(done_state, after, strict=True)),
            self.inserted.eq(writes_tag),
            self.evicted.eq(stage_valid & update.evict),
            self.revived.eq(stage_valid & update.revives),
            self.returned.eq(stage_valid & update.returns),
        ]

        # Write
        row = self.row_in
        taken = Signal(g.ways)
        current_hot = Signal(g.ways)  # hot bits of the set being picked from
        current = Signal(g.ways)  # who is left
        whole_row = [row.valid, row.referenced, row.age, row.counters]
        m.d.comb += [
            state_write.addr.eq(Mux(self.row_access, self.row_set, stage_set)),
            state_write.data.eq(Mux(self.row_access, Mux(self.clear, 0, Cat(whole_row)), Cat(after))),
            state_write.en.eq(Mux(self.row_access, self.row_write, stage_valid)),
            taken.eq(Mux(self.pick_take, Const(1, g.ways) << self.row_way, 0)),
            hot_write.addr.eq(self.row_set),
            hot_write.data.eq(Mux(self.pick_take, current_hot ^ taken, Mux(self.clear, 0, row.hot))),
            hot_write.en.eq(self.row_write | self.pick_take),
            slot_write.addr.eq(Cat(self.row_way, self.row_set)),
            slot_write.data.eq(self.slot_in),
            slot_write.en.eq(self.slot_write | (self.pick_take & self.make_hot)),
        ]
        for way, port in enumerate(tag_writes):
            m.d.comb += [
                port.data.eq(Mux(self.row_access, row.tags.word_select(way, g.tag_bits), stage_tag)),
                port.en.eq(Mux(self.row_access, self.row_write, stage_valid & update.fill[way])),
            ]

        # Whole sets out, and the choice of entries
        out_valid, out_referenced, out_age, *out_counters = split(state_read.data)
        m.d.comb += [
            self.row_out.valid.eq(out_valid),
            self.row_out.referenced.eq(out_referenced),
            self.row_out.age.eq(out_age),
            self.row_out.counters.eq(Cat(out_counters)),
            self.row_out.hot.eq(update_hot.data),
            self.row_out.tags.eq(Cat(port.data for port in update_tags)),
        ]
        reaches = Signal(g.ways)
        eligible = Signal(g.ways)
        m.d.comb += reaches.eq(Cat(out_counters[way] >= self.level for way in ways))
        with m.Switch(self.wanted):
            with m.Case(Eligible.ALL):
                m.d.comb += eligible.eq(self.row_out.valid & reaches)
            with m.Case(Eligible.COLD):
                m.d.comb += eligible.eq(self.row_out.valid & ~self.row_out.hot & reaches)
            with m.Case(Eligible.HOT):
                m.d.comb += eligible.eq(self.row_out.hot & ~reaches)
            with m.Case(Eligible.IDLE):
                m.d.comb += eligible.eq(self.row_out.hot & ~self.row_out.referenced)
            with m.Case(Eligible.RECENT):
                m.d.comb += eligible.eq(self.row_out.valid & ~self.row_out.hot & self.row_out.referenced)
        m.d.sync += self.eligible.eq(sum((eligible[way] for way in ways), Const(0)))
        with m.If(self.load):
            m.d.sync += [current.eq(eligible), current_hot.eq(self.row_out.hot)]
        with m.Else():
            m.d.sync += [current.eq(current & ~taken), current_hot.eq(current_hot ^ taken)]
        m.d.comb += [
            self.any_left.eq(current.any()),
            self.pick_way.eq(encode(current & (~current + 1)[: g.ways])),
        ]
        with m.Switch(self.pick_way):
            for way in ways:
                with m.Case(way):
                    m.d.comb += self.pick_tag.eq(update_tags[way].data)
        return m


def row_ports(geometry: Geometry) -> dict[str, wiring.Member]:
    """Ports for access to whole sets and to chosen entries, as `SampleAwareTracker` describes them."""
    return {
        "row_access": In(1), "row_set": In(geometry.set_bits), "row_write": In(1), "clear": In(1),
        "row_in": In(entry_row(geometry)), "row_out": Out(entry_row(geometry)),
        "row_way": In(geometry.way_bits), "slot_write": In(1), "slot_in": In(geometry.slot_bits),
        "slot_out": Out(geometry.slot_bits),
        "level": In(geometry.counter_bits + 1), "wanted": In(Eligible), "eligible": Out(range(geometry.ways + 1)),
        "load": In(1), "any_left": Out(1), "pick_way": Out(geometry.way_bits), "pick_tag": Out(geometry.tag_bits),
        "pick_take": In(1), "make_hot": In(1),
    }  # fmt: skip
