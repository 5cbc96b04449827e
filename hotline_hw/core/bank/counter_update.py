"""CounterUpdate: what one lookup of a known weight does to one set of the tracker."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import select_one
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import AGE_FIELD

__all__ = ["CounterUpdate"]


class CounterUpdate(wiring.Component):
    """Counts, inserts and ages. It is combinational and handles all ways side by side.

    If the key has an entry, `weight` is added to its counter, which saturates. Another key takes the lowest free way.
    If no way is free, it takes the cold way of the smallest counter, the lowest of several. If every way is hot, the
    key is not taken in. After every `age_period` lookups of keys without an entry, taken in or not, the counters of the
    set shrink. A counter shrinks by an eighth if its entry was referenced since the last aging, and by half if not.
    Weight 0 changes nothing.

    Ports:
        valid, hot, referenced, counter, age: The set's state.
        match: Ways whose tag is the key's.
        usable: Ways in the budget.
        weight, age_period: As in `regmap`.
        fill: The way (one-hot) that takes the key in. None if the key has an entry.
        evict: The entry in that way was valid.
        revives: The key has an entry that is hot but not referenced.
        returns: The key has an entry that is cold but referenced.
        next_valid, next_referenced, next_counter, next_age: The state afterwards.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        ways = geometry.ways
        super().__init__(
            {
                "valid": In(ways), "hot": In(ways), "referenced": In(ways),
                "counter": In(geometry.counter_bits).array(ways), "age": In(AGE_FIELD.width),
                "match": In(ways), "usable": In(ways),
                "weight": In(geometry.weight_bits), "age_period": In(AGE_FIELD.width),
                "fill": Out(ways), "evict": Out(1), "revives": Out(1), "returns": Out(1),
                "next_valid": Out(ways), "next_referenced": Out(ways),
                "next_counter": Out(geometry.counter_bits).array(ways), "next_age": Out(AGE_FIELD.width),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        ways = range(self.geometry.ways)
        bits = self.geometry.counter_bits
        largest = (1 << bits) - 1

        # The victim: a tree of comparisons. The counter of a free way is zero, so it is smaller than any valid one.
        found: list[tuple] = [
            (self.usable[way] & ~self.hot[way], Cat(self.counter[way], self.valid[way]), Const(1 << way, len(ways)))
            for way in ways
        ]
        level = 0
        while len(found) > 1:
            pairs = []
            for pair in range(0, len(found) - 1, 2):
                (low_there, low, low_way), (high_there, high, high_way) = found[pair : pair + 2]
                there, smaller, way = (
                    Signal(shape, name=f"{name}{level}_{pair}")
                    for name, shape in (("there", 1), ("smaller", bits + 1), ("way", len(ways)))
                )
                lower = Signal(name=f"lower{level}_{pair}")
                m.d.comb += [
                    lower.eq(low_there & (~high_there | (low <= high))),
                    there.eq(low_there | high_there),
                    smaller.eq(Mux(lower, low, high)),
                    way.eq(Mux(lower, low_way, high_way)),
                ]
                pairs.append((there, smaller, way))
            found = pairs + found[len(found) & ~1 :]
            level += 1
        there, _, victim = found[0]

        learns = Signal()
        unknown = Signal()
        hit_ways = Signal(self.geometry.ways)
        aged = Signal()
        m.d.comb += [
            learns.eq(self.weight != 0),
            hit_ways.eq(Mux(learns, self.match & self.valid, 0)),
            unknown.eq(learns & ~hit_ways.any()),
            self.fill.eq(Mux(unknown & there, victim, 0)),
            self.revives.eq((hit_ways & self.hot & ~self.referenced).any()),
            self.returns.eq((hit_ways & ~self.hot & self.referenced).any()),
            self.evict.eq((self.fill & self.valid).any()),
            self.next_valid.eq(self.valid | self.fill),
            aged.eq(unknown & (self.age_period != 0) & (self.age + 1 >= self.age_period)),
            self.next_age.eq(Mux(aged, 0, self.age + unknown)),
            self.next_referenced.eq(Mux(aged, 0, self.referenced | hit_ways) | self.fill),
        ]

        counted = Signal(bits)  # of the way that hits, with the weight
        total = Signal(max(bits, len(self.weight)) + 1)
        entered = Signal(bits)
        m.d.comb += [
            total.eq(select_one(hit_ways, self.counter) + self.weight),
            counted.eq(Mux(total > largest, largest, total)),
            entered.eq(Mux(self.weight > largest, largest, self.weight)),
        ]
        for way in ways:
            counter = self.counter[way]
            shrunk = Signal(bits, name=f"shrunk{way}")
            m.d.comb += [
                shrunk.eq(counter - Mux(self.referenced[way], counter >> 3, counter - (counter >> 1))),
                self.next_counter[way].eq(
                    Mux(self.fill[way], entered, Mux(hit_ways[way], counted, Mux(aged, shrunk, counter)))
                ),
            ]
        return m
