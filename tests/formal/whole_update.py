"""An update of a set in one piece: what the tracker does in the last three stages of its pipeline."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.bank.counter_update import CounterUpdate
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import AGE_FIELD

__all__ = ["WholeUpdate"]


class WholeUpdate(wiring.Component):
    """`rank_pairs`, `smallest`, `is_due` and `CounterUpdate` in a row. It is combinational.

    Ports:
        valid, hot, referenced, counter, age: The set's state.
        match: Ways whose tag is the key's.
        usable: Ways in the budget.
        weight, age_period: As in `regmap`. Weight 0 changes nothing.
        fill: The way (one-hot) that takes the key in.
        evict, revives, returns: As in `CounterUpdate`.
        next_valid, next_referenced, next_counter, next_age: The state afterwards.
        due_kept: What is said to be due afterwards is what is due by the state afterwards.
    """

    def __init__(self, geometry: Geometry, update: type[CounterUpdate] = CounterUpdate) -> None:
        self.geometry, self.update = geometry, update
        ways = geometry.ways
        super().__init__(
            {
                "valid": In(ways), "hot": In(ways), "referenced": In(ways),
                "counter": In(geometry.counter_bits).array(ways), "age": In(AGE_FIELD.width),
                "match": In(ways), "usable": In(ways), "weight": In(geometry.weight_bits),
                "age_period": In(AGE_FIELD.width),
                "fill": Out(ways), "evict": Out(1), "revives": Out(1), "returns": Out(1),
                "next_valid": Out(ways), "next_referenced": Out(ways),
                "next_counter": Out(geometry.counter_bits).array(ways), "next_age": Out(AGE_FIELD.width),
                "due_kept": Out(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        parts = self.update.elaborate.__globals__  # of a mutant's module, if it is one
        is_due, smallest, rank_pairs = parts["is_due"], parts["smallest"], parts["rank_pairs"]
        ways = self.geometry.ways
        m.submodules.step = step = self.update(self.geometry)
        state = Signal(parts["set_state"](self.geometry))
        learns, hits, candidates = Signal(), Signal(ways), Signal(ways)
        m.d.comb += [
            state.valid.eq(self.valid), state.referenced.eq(self.referenced), state.age.eq(self.age),
            *(state.counters[way].eq(self.counter[way]) for way in range(ways)),
            learns.eq(self.weight != 0),
            hits.eq(Mux(learns, self.match & self.valid, 0)),
            candidates.eq(self.usable & ~self.hot),
            step.state.eq(state), step.hot.eq(self.hot), step.hit.eq(hits), step.weight.eq(self.weight),
            step.unknown.eq(learns & ~hits.any()),
            step.fill.eq(Mux(step.unknown, smallest(candidates, rank_pairs(state, ways)), 0)),
            step.due.eq(is_due(self.age, self.age_period)),
            step.ages.eq(step.unknown & step.due),
            step.due_later.eq(is_due(self.age, self.age_period, ahead=1)),
            step.due_anew.eq(is_due(0 & self.age, self.age_period)),
            self.fill.eq(step.fill), self.evict.eq(step.evict),
            self.revives.eq(step.revives), self.returns.eq(step.returns),
            self.next_valid.eq(step.after.valid), self.next_referenced.eq(step.after.referenced),
            self.next_age.eq(step.after.age),
            *(self.next_counter[way].eq(step.after.counters[way]) for way in range(ways)),
            self.due_kept.eq(step.due_after == is_due(self.next_age, self.age_period)),
        ]  # fmt: skip
        return m
