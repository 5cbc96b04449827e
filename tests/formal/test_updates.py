"""The updates' way back to the banks: none is lost, none comes twice, and each bank sees them in stream order.

`UpdateScatter` and the banks' queues are between free verdicts and trackers that take an update at any time. No
mini-batch that is learned from ends here; what happens then is proven in test_gains.py. One update is watched, chosen
freely among all (as in test_queues.py). What the tracker does with updates is proven in test_sample_aware.py. Nothing
on this way looks at a tag or a weight, so one bit of each is proof enough.

It is a proof by induction: where updates are on their way (updates_inside.py) is asserted too. Mutants are to be caught
without that.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
from amaranth.hdl import Array, Assert, Assume, Cat, Const, Cover, Module, Mux, Signal
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In

from hotline_hw.core.bank.bank import PopularityBank
from hotline_hw.core.bank.intake import BankIntake
from hotline_hw.core.bank.sample_aware import SampleAwareTracker
from hotline_hw.core.layouts import MISS_BITS
from hotline_hw.core.output.updates import UpdateScatter
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import WEIGHTS
from hotline_sim.formal import PropertyFailed, check, cover, first_value, induct
from tests.formal.bank_parts import row_bits, rows_of
from tests.formal.dma_parts import with_parts
from tests.formal.mutants import mutated
from tests.formal.updates_inside import BANK, OnTheWay


def geometry(bank_ports: int) -> Geometry:
    return Geometry(
        lanes=2, banks=2, sets=2, ways=2, entries_per_hot_row=2, counter_bits=2, table_bits=1, row_bits=5,
        bank_ports=bank_ports, queue_depth=4, beat_depth=4,
    )  # fmt: skip


class FreeTracker(SampleAwareTracker):
    """Stands in for a tracker: takes an update whenever `ready`, and keeps nothing."""

    def __init__(self, geometry: Geometry) -> None:
        super().__init__(geometry)
        self.ready = Signal()

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.d.comb += self.update_ready.eq(self.ready)
        return m


def with_free_tracker(bank: type[PopularityBank], geometry: Geometry) -> tuple[PopularityBank, FreeTracker]:
    tracker = FreeTracker(geometry)
    return with_parts(bank, SampleAwareTracker=lambda _: tracker)(geometry), tracker


class UpdatesKeepTheirOrder(wiring.Component):
    """With `look_inside` it is asserted where every update is. Ports:
    beat: valid; for each lane whether it is routed, where it goes, its tag's lowest bit, and its sample's verdict.
    ready: for each bank, whether its tracker takes an update. weights: the lowest bit of each, constant.
    gains: rows of the front table occur, constant. rows: what reaches the trackers' rows; these have none.
    watch, choice: watch the update of lane `choice` of this beat, if it goes to bank `home` (constant).
    """

    def __init__(
        self,
        geometry: Geometry,
        scatter: type[UpdateScatter] = UpdateScatter,
        bank: type[PopularityBank] = PopularityBank,
        look_inside: bool = False,
    ) -> None:
        self.geometry, self.scatter, self.look_inside = geometry, scatter, look_inside
        self.bank = BANK if look_inside else bank
        lane = data.StructLayout(
            {"routed": 1, "fronted": 1, "bank": geometry.bank_bits, "tag": 1, "hit": 1, "misses": MISS_BITS}
        )
        super().__init__(
            {
                "valid": In(1), "learn": In(1), "beat": In(data.ArrayLayout(lane, geometry.lanes)),
                "ready": In(geometry.banks), "weights": In(len(WEIGHTS)), "home": In(geometry.bank_bits),
                "watch": In(1), "choice": In(range(geometry.lanes)), "gains": In(1),
                "rows": In(row_bits(geometry)),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        lanes = range(g.lanes)
        m.submodules.scatter = scatter = self.scatter(g)
        home, weights = first_value(m, self.home), first_value(m, self.weights)
        gains = first_value(m, self.gains)
        payload = scatter.input.payload
        ranks = []
        m.d.comb += [scatter.input.valid.eq(self.valid), payload.learn.eq(self.learn)]
        # An end keeps a beat that is not learned from; but at an end the gains go, if there are any.
        m.d.comb += payload.end.eq(~self.learn & ~gains)
        m.d.comb += [there.eq(weights[index]) for index, there in enumerate(scatter.weights)]
        for lane in lanes:
            source, target, rank = self.beat[lane], payload.lanes[lane], Signal(range(g.lanes), name=f"rank{lane}")
            before = [self.beat[other] for other in range(lane)]
            m.d.comb += [
                rank.eq(sum((other.routed & (other.bank == source.bank) for other in before), Const(0))),
                target.routed.eq(source.routed), target.bank.eq(source.bank), target.tag.eq(source.tag),
                target.hit.eq(source.hit), target.misses.eq(source.misses), target.rank.eq(rank),
                target.fronted.eq(source.fronted & gains),
            ]  # fmt: skip
            ranks.append(rank)
            m.d.sync += [
                Assume(~source.routed | (rank < g.bank_ports), "a beat was a pass"),
                Assume(source.hit | (source.misses != 0), "a lookup that missed counts among the misses"),
            ]

        trackers, rooms, banks = [], [], []
        updating = Signal()
        for number in range(g.banks):
            bank, tracker = with_free_tracker(self.bank, g)
            m.submodules[f"bank{number}"] = bank
            m.d.comb += [
                bank.update.eq(scatter.to_bank[number]), bank.update_take.eq(scatter.fire),
                bank.update_load.eq(scatter.load),
                *(there.eq(here) for there, here in zip(bank.update_rank_is, scatter.rank_is, strict=True)),
                *(there.eq(here) for there, here in zip(bank.update_tags, scatter.tags, strict=True)),
                *(there.eq(here) for there, here in zip(bank.update_weights, scatter.lane_weights, strict=True)),
                tracker.ready.eq(self.ready[number]), rows_of(bank, g).eq(self.rows),
            ]  # fmt: skip
            with m.If(home == number):
                m.d.comb += updating.eq(bank.updating)
            trackers.append(tracker)
            banks.append(bank)
            rooms.append(bank.update_room)
        m.d.comb += scatter.room.eq(Cat(rooms))

        # In bank `home`: how many updates are on their way, and how many are ahead of the watched one.
        def of_home(name: str):
            return Array(getattr(tracker, name) for tracker in trackers)[home]

        most = g.queue_depth + 1 + 3 * g.lanes  # three beats are in the scatter, one update is in front of the tracker
        inside, came, went = Signal(range(most + 1)), Signal(range(g.lanes + 1)), Signal()
        accepted = Signal()
        m.d.comb += [
            accepted.eq(self.valid & self.learn & scatter.input.ready),
            came.eq(Mux(accepted, sum(self.beat[lane].routed & (self.beat[lane].bank == home) for lane in lanes), 0)),
            went.eq(of_home("update_valid") & self.ready.bit_select(home, 1)),
        ]
        unseen, was_unseen = Signal(), Signal()
        m.d.comb += unseen.eq(~scatter.busy & (inside != 0) & ~of_home("update_valid"))
        m.d.sync += [
            was_unseen.eq(unseen),
            inside.eq(inside + came - went),
            Assert(~of_home("update_valid") | (inside != 0), "what comes out went in"),
            Assert((inside == 0) | scatter.busy | updating, "busy as long as an update is on its way"),
            Assert(~(unseen & was_unseen), "what is in the queue can be seen a cycle later"),
        ]
        chosen = Array(self.beat)[self.choice]
        watching, ahead, tag, weight = Signal(), Signal(range(most)), Signal(), Signal()
        with m.If(~watching):
            with m.If(accepted & self.watch & chosen.routed & (chosen.bank == home)):
                others = chosen.misses - ~chosen.hit
                m.d.sync += [
                    watching.eq(1), ahead.eq(inside - went + Array(ranks)[self.choice]), tag.eq(chosen.tag),
                    weight.eq(~(chosen.fronted & gains) & weights.bit_select(Mux(others > 15, 15, others)[:4], 1)),
                ]  # fmt: skip
        with m.Elif(went & (ahead != 0)):
            m.d.sync += ahead.eq(ahead - 1)
        with m.Elif(went):
            m.d.sync += watching.eq(0)
        with m.If(watching & went & (ahead == 0)):
            m.d.sync += [
                Assert(of_home("update_tag")[0] == tag, "the update is the watched one's"),
                Assert(of_home("update_weight") == weight, "its weight is that of the others' misses, or none"),
            ]
        if self.look_inside:
            OnTheWay(m, g, home, scatter, banks).state(inside, watching, ahead, tag, weight)
            m.d.sync += Assert(~was_unseen | of_home("update_valid"), "what was not seen is seen now")
        m.d.sync += Cover(watching & (ahead == most - 1) & tag, "full, the watched one last")
        return m


@pytest.mark.parametrize("bank_ports", [1, 2])
def test_order_is_kept_and_nothing_lost(bank_ports, tmp_path):
    small = replace(geometry(bank_ports), queue_depth=2 * bank_ports)
    induct(UpdatesKeepTheirOrder(small, look_inside=True), tmp_path, cycles=2)


def test_order_and_weights_at_their_fullest(tmp_path):
    cover(UpdatesKeepTheirOrder(geometry(2)), tmp_path, cycles=18, seconds=600)


SCATTER_MUTANTS = {
    "a beat that was chosen from is overwritten": ("self.load.eq(~waits | self.fire)", "self.load.eq(held | ~waits)"),
    "not busy with what was chosen": ("counted_valid | held | waits |", "counted_valid | held |"),
    "a beat goes when one bank has room": ("waits & self.room.all()", "waits & self.room.any()"),
    "weight by all misses": ("source.misses - ~source.hit", "source.misses"),
    "16 other misses count as none": ("Mux(most[-1], len(WEIGHTS) - 1, most[:-1])", "most[:-1]"),
    "CLASSIFY learns": ("learns.eq(counted_valid & counted.learn)", "learns.eq(counted_valid)"),
    "a beat that waits is overwritten": ("move.eq(free & ~gains.stop", "move.eq(~gains.stop"),
    "a beat behind that is overwritten": ("self.input.ready.eq(~counted_valid | move)", "self.input.ready.eq(1)"),
    "what is kept counts at once too": ("Mux(source.fronted, 0, lane_weights[lane])", "lane_weights[lane]"),
}
BANK_MUTANTS = {
    "room is granted too long": (BankIntake, "init=g.queue_depth - g.bank_ports)", "init=g.queue_depth - 1)"),
    "an update goes unasked": (PopularityBank, "updates.pop.eq(tracker.update_ready | ~next_valid)",
                               "updates.pop.eq(1)"),
    "updates of other banks slip in": (BankIntake, "choice.eq(self.lanes & self.rank_is[port])",
                                       "choice.eq(self.rank_is[port])"),
    "not busy with what waits": (PopularityBank, "updates.head_valid | next_valid | tracker.updating",
                                 "tracker.updating"),
}  # fmt: skip


@pytest.mark.parametrize("mutant", [*SCATTER_MUTANTS, *BANK_MUTANTS])
def test_a_broken_way_back_is_caught(mutant, tmp_path):
    if mutant in SCATTER_MUTANTS:
        broken = {"scatter": mutated(UpdateScatter, *SCATTER_MUTANTS[mutant])}
    else:
        part, right, wrong = BANK_MUTANTS[mutant]
        bank = mutated(part, right, wrong)
        broken = {"bank": bank if part is PopularityBank else with_parts(PopularityBank, BankIntake=bank)}
    with pytest.raises(PropertyFailed):
        check(UpdatesKeepTheirOrder(geometry(2), **broken), tmp_path, cycles=14)
