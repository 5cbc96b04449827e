"""What one lookup of a known weight does to one set of the tracker: the choice of a victim, and the set afterwards."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import AGE_FIELD

__all__ = ["CounterUpdate", "is_due", "pairs", "rank_pairs", "set_state", "smallest"]


def set_state(geometry: Geometry) -> data.StructLayout:
    """What an update may change of a set, besides tags. Counters stand side by side, way 0 lowest."""
    ways = geometry.ways
    return data.StructLayout(
        {
            "valid": ways,
            "referenced": ways,
            "age": AGE_FIELD.width,
            "counters": data.ArrayLayout(geometry.counter_bits, ways),
        }
    )


def pairs(ways: int) -> list[tuple[int, int]]:
    """All pairs of ways, the lower way first."""
    return [(low, high) for high in range(ways) for low in range(high)]


def rank_pairs(state: data.View, ways: int) -> Value:
    """For each of `pairs`, whether the lower way goes first: it is free, or its counter is not the larger one.

    The counter of a free way is zero, so with the valid bit above it, it is smaller than any valid one.
    """
    value = [Cat(state.counters[way], state.valid[way]) for way in range(ways)]
    return Cat(value[low] <= value[high] for low, high in pairs(ways))


def smallest(candidates: Value, ranked: Value) -> Value:
    """The candidate (one-hot) that goes before all others, by `rank_pairs`. Zero if there is none."""
    ways = len(candidates)
    beaten: list[list[Value]] = [[] for _ in range(ways)]
    for index, (low, high) in enumerate(pairs(ways)):
        beaten[high].append(candidates[low] & ranked[index])
        beaten[low].append(candidates[high] & ~ranked[index])
    return Cat(candidates[way] & ~Cat(beaten[way]).any() for way in range(ways))


def is_due(age: Value, age_period: Value, ahead: int = 0) -> Value:
    """The set ages with the next lookup of a key without an entry, or with the one `ahead` later."""
    return (age_period != 0) & (age + 1 + ahead >= age_period)


class CounterUpdate(wiring.Component):
    """Counts, inserts and ages. It is combinational and handles all ways side by side.

    If the key has an entry, `weight` is added to its counter, which saturates. Another key takes the lowest free way.
    If no way is free, it takes the cold way of the smallest counter, the lowest of several. If every way is hot, the
    key is not taken in. After every `age_period` lookups of keys without an entry, taken in or not, the counters of the
    set shrink. A counter shrinks by an eighth if its entry was referenced since the last aging, and by half if not.

    What depends on comparisons (the way that hits, the way to fill, whether the set is due to age) is found before.

    Ports:
        state: The set's `set_state`.
        hot: Its hot ways.
        hit: The way (one-hot) that has the key.
        fill: The way (one-hot) that takes the key in. None if the key has an entry.
        unknown: The key has no entry.
        ages: The key has no entry, and the set is due to age.
        due: `is_due` of the set.
        due_later: `is_due` of the set, one ahead.
        due_anew: `is_due` of a set that has just aged.
        weight: As in `regmap`, not zero.
        evict: The entry in the way to fill was valid.
        revives: The key has an entry that is hot but not referenced.
        returns: The key has an entry that is cold but referenced.
        after: The state afterwards.
        due_after: `is_due` of it.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        ways = geometry.ways
        super().__init__(
            {
                "state": In(set_state(geometry)), "hot": In(ways),
                "hit": In(ways), "fill": In(ways), "unknown": In(1), "ages": In(1),
                "due": In(1), "due_later": In(1), "due_anew": In(1), "weight": In(geometry.weight_bits),
                "evict": Out(1), "revives": Out(1), "returns": Out(1),
                "after": Out(set_state(geometry)), "due_after": Out(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        state, after = self.state, self.after
        bits = g.counter_bits
        largest = (1 << bits) - 1
        aged = self.ages
        entered = Signal(bits)
        m.d.comb += [
            entered.eq(Mux(self.weight > largest, largest, self.weight)),
            self.evict.eq((self.fill & state.valid).any()),
            self.revives.eq((self.hit & self.hot & ~state.referenced).any()),
            self.returns.eq((self.hit & ~self.hot & state.referenced).any()),
            after.valid.eq(state.valid | self.fill),
            after.referenced.eq(Mux(aged, 0, state.referenced | self.hit) | self.fill),
            after.age.eq(Mux(aged, 0, state.age + self.unknown)),
            self.due_after.eq(Mux(aged, self.due_anew, Mux(self.unknown, self.due_later, self.due))),
        ]
        for way in range(g.ways):
            counter = state.counters[way]
            referenced = state.referenced[way]
            # One adder counts up by the weight, or down by an eighth.
            total = Signal(max(bits, len(self.weight)) + 1, name=f"total{way}")
            change = Mux(self.hit[way], self.weight, Mux(aged, (~(counter >> 3))[:bits], 0))
            full = self.hit[way] & total[bits:].any()
            m.d.comb += total.eq(counter + change + (aged & ~self.hit[way]))
            m.d.comb += after.counters[way].eq(
                Mux(self.fill[way], entered, Mux(aged & ~referenced, counter >> 1, Mux(full, largest, total)))
            )
        return m
