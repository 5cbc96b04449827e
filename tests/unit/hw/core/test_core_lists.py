"""The stream core as it is in a device, in Amaranth's simulator against the golden model: lists of unique cold rows,
their places in result words, and one verdict bit a sample."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field, replace
from unittest import mock

import numpy as np
import pytest
from amaranth.sim import Simulator, SimulatorContext

from hotline_hw.core import bank_wiring
from hotline_hw.core import core as core_module
from hotline_hw.core.bank.bank import PopularityBank
from hotline_hw.core.bank.working import LIST_DOMAIN
from hotline_hw.core.core import HotlineCore
from hotline_hw.core.output.gather import BankGather
from hotline_hw.core.output.verdicts import VerdictTap
from hotline_hw.spec.descriptors import MAX_BANKS, NOT_LISTED, VALUE_FIELD
from hotline_hw.spec.feistel import mix
from hotline_hw.spec.params import Geometry, preset
from hotline_hw.spec.regmap import Command, Error, Phase
from hotline_hw.spec.words import HIT_FIELD, LAST_FIELD, PAYLOAD_FIELD, ROW_FIELD, TABLE_FIELD, WORD_BITS, WORD_BYTES
from hotline_sim.bench.stimulus import random_batches, random_front
from hotline_sim.model.core import GoldenCore
from hotline_sim.model.working import WorkingLists
from tests.formal.mutants import mutated

TINY = preset("tiny")
GEOMETRIES = {
    "tiny": TINY,
    "little-room": replace(TINY, working_rows=4),
    "four-lanes": replace(TINY, lanes=4, banks=4, sets=4, working_rows=128),
}
BATCHES = 60
PATIENCE = 2000  # cycles
_SILENT = Phase.LEARN, Phase.FRONT  # these send no results


@dataclass
class Seen:
    """The results of a mini-batch, as the core gives them or as the models say."""

    popular: list[int]
    nonpopular: list[int]
    verdicts: list[bool]
    counts: list[int] = field(default_factory=list)  # of list 0 of each bank, then of list 1
    keys: list[list[int]] = field(default_factory=list)  # mixed, of each of these lists
    full: bool = False


class Model:
    """The results that must come out."""

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.core, self.lists = GoldenCore(geometry.stream_core()), WorkingLists(geometry)

    def run(self, words: np.ndarray, phase: Phase) -> Seen:
        g = self.geometry
        self.core.errors = Error(0)
        popular, nonpopular = self.core.run_batch(words, phase)
        if phase in _SILENT:
            return Seen([], [], [])
        results = self.core.answers
        hit = results >> np.uint64(HIT_FIELD.low) & np.uint64(1) == 1
        last = results >> np.uint64(LAST_FIELD.low) == 1
        known = np.array([self.core.place(int(word)) is not None for word in words], bool) & ~hit
        places = np.full(len(words), NOT_LISTED, np.uint64)
        places[known] = self.lists.list_batch(results[known] & np.uint64(PAYLOAD_FIELD.mask)).astype(np.uint64)
        mended = np.where(hit, results, results & np.uint64(~ROW_FIELD.mask & (1 << 64) - 1) | places)
        sample = np.cumsum(last) - last
        all_hit = np.bincount(sample, ~hit) == 0
        assert (mended[all_hit[sample]] == popular).all() and len(nonpopular) == (~all_hit[sample]).sum()
        names = np.concatenate([self.lists.keys(held) for held in (False, True)])
        keys = mix(names >> TABLE_FIELD.low << np.uint64(g.row_bits) | names & np.uint64(ROW_FIELD.mask), g.key_bits)
        counts = np.concatenate([self.lists.counts[first:][: g.banks] for first in (0, MAX_BANKS)])
        in_lists = [part.tolist() for part in np.split(keys, np.cumsum(counts)[:-1])]
        return Seen(
            popular.tolist(), mended[~all_hit[sample]].tolist(), all_hit.tolist(),
            counts.tolist(), in_lists, self.lists.full,
        )  # fmt: skip


class Bench:
    """Drives a core, one mini-batch or command at a time."""

    def __init__(self, ctx: SimulatorContext, core: HotlineCore, rng: np.random.Generator, stalls: float) -> None:
        self.ctx, self.core, self.rng, self.stalls = ctx, core, rng, stalls
        self.lanes = core.geometry.lanes

    def _go(self) -> bool:
        return self.rng.random() >= self.stalls

    async def idle(self) -> None:
        for _ in range(PATIENCE):
            if not self.ctx.get(self.core.busy) and self.ctx.get(self.core.working_ready):
                return
            await self.ctx.tick()
        raise AssertionError("the core stays busy")

    async def batch(self, words: np.ndarray, phase: Phase) -> Seen:
        ctx, core = self.ctx, self.core
        await self.idle()
        ctx.set(core.phase, phase)
        ctx.set(core.working_enable, phase not in _SILENT)
        ctx.set(core.working_start, phase not in _SILENT)
        await ctx.tick()
        ctx.set(core.working_start, 0)
        await self.idle()
        seen, finished, ended = Seen([], [], []), 0, False
        beats = [words[first : first + self.lanes].tolist() for first in range(0, len(words), self.lanes)]
        offered = False
        for _ in range(PATIENCE + 20 * len(words)):
            offered = bool(beats) and (offered or self._go())
            ctx.set(core.s_axis_lookup.tvalid, offered)
            if offered:
                ctx.set(core.s_axis_lookup.tdata, sum(word << WORD_BITS * at for at, word in enumerate(beats[0])))
                ctx.set(core.s_axis_lookup.tkeep, (1 << WORD_BYTES * len(beats[0])) - 1)
                ctx.set(core.s_axis_lookup.tlast, len(beats) == 1)
            for side, into in ((core.m_axis_popular, seen.popular), (core.m_axis_nonpopular, seen.nonpopular)):
                ctx.set(side.tready, self._go())
                if ctx.get(side.tvalid) and ctx.get(side.tready):
                    keep, data = ctx.get(side.tkeep), ctx.get(side.tdata)
                    for at in range(self.lanes):
                        if keep >> WORD_BYTES * at & 1:
                            into.append(data >> WORD_BITS * at & (1 << WORD_BITS) - 1)
            ctx.set(core.verdicts.ready, self._go())
            if ctx.get(core.verdicts.valid) and ctx.get(core.verdicts.ready):
                assert not ended, "verdicts end with the mini-batch"
                beat = ctx.get(core.verdicts.payload)
                seen.verdicts += [bool(beat.bits >> at & 1) for at in range(beat.count)]
                ended = bool(beat.last)
            if offered and ctx.get(core.s_axis_lookup.tready):
                beats.pop(0)
                offered = False
            finished += ctx.get(core.finished)
            if finished and ended and not beats and not ctx.get(core.busy):
                break
            await ctx.tick()
        assert finished == 1 and ended, "the mini-batch ends"
        if phase not in _SILENT:
            await self._lists(seen)
        return seen

    async def _lists(self, seen: Seen) -> None:
        ctx, core = self.ctx, self.core
        seen.full = bool(ctx.get(core.working_full))
        for held in range(2):
            for bank in range(core.geometry.banks):
                ctx.set(core.list_held, held)
                ctx.set(core.list_bank, bank)
                await ctx.tick(LIST_DOMAIN)
                seen.counts.append(ctx.get(core.list_count))
                keys = []
                for number in range(seen.counts[-1]):
                    ctx.set(core.list_number, number)
                    await ctx.tick(LIST_DOMAIN).repeat(2)
                    keys.append(ctx.get(core.list_key))
                seen.keys.append(keys)

    async def select(self) -> None:
        """Runs SELECT by the command port. Its answer is taken."""
        ctx, core = self.ctx, self.core
        await self.idle()
        ctx.set(core.command, Command.SELECT)
        ctx.set(core.command_write, 1)
        await ctx.tick()
        ctx.set(core.command_write, 0)
        ctx.set(core.m_axis_state.tready, 1)
        for _ in range(PATIENCE):
            if ctx.get(core.command_done):
                return
            await ctx.tick()
        raise AssertionError("SELECT does not end")


def compare(name: str, stalls: float) -> None:
    """Runs random mini-batches through a core, and compares everything that comes with the model."""
    g = GEOMETRIES[name]
    rng = np.random.default_rng([len(name), int(10 * stalls)])
    core, model = HotlineCore(g, shell=True), Model(g)
    batches = random_batches(
        rng, g, BATCHES, lookups=5, hot_keys=24, burst_share=0.2, longest_share=0, index_errors=0.05
    )
    classified: list[Seen] = []

    async def drive(ctx: SimulatorContext) -> None:
        # Stalls are drawn apart, so mini-batches and phases are the same whatever the latencies of the core are.
        bench = Bench(ctx, core, np.random.default_rng(len(name)), stalls)
        for index, words in enumerate(batches):
            phases = [Phase.CLASSIFY, Phase.LEARN, Phase.RELEARN, Phase.FRONT]
            phase = phases[int(rng.integers(4))]
            if phase == Phase.FRONT:
                words = random_front(rng, g, np.concatenate(batches), least=1)
            due = model.run(words, phase)
            found = await bench.batch(words, phase)
            assert found == due, f"mini-batch {index}, {phase.name}"
            if phase not in _SILENT:
                classified.append(due)
            if index % 8 == 7:
                model.core.select()
                await bench.select()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simulator = Simulator(core)
    simulator.add_clock(1e-8)
    simulator.add_clock(1e-8, domain=LIST_DOMAIN)
    simulator.add_testbench(drive)
    simulator.run()
    # Every case that could go wrong has happened.
    words = [word for seen in classified for word in seen.nonpopular]
    assert any(True in seen.verdicts for seen in classified)
    assert any(any(seen.counts[g.banks :]) for seen in classified), "rows are held"
    assert any(not word >> HIT_FIELD.low & 1 and word & ROW_FIELD.mask == NOT_LISTED for word in words)
    assert all(word & ROW_FIELD.mask <= VALUE_FIELD.mask for word in words)
    assert any(seen.full for seen in classified) or name != "little-room"


@pytest.mark.long
@pytest.mark.parametrize("stalls", [0.0, 0.4])
@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[] if name == "tiny" else pytest.mark.slow) for name in GEOMETRIES]
)
def test_places_lists_and_verdicts(name: str, stalls: float) -> None:
    compare(name, stalls)


MUTANTS = {
    "bad lookups have places": (BankGather, "Mux(lane.routed & listed.listed, place", "Mux(listed.listed, place"),
    "banks above those held": (BankGather, "bank[: COLD_BANK.width], listed.held",
                               "listed.held, bank[: COLD_BANK.width]"),
    "the other list's count": (PopularityBank, "self.count.eq(working.count)", "self.count.eq(working.held_count)"),
    "never full": (PopularityBank, "self.working_full.eq(working.full)", "self.working_full.eq(0)"),
    "verdicts the other way round": (VerdictTap, "end & (source.misses == 0)", "end & (source.misses != 0)"),
}  # fmt: skip


@pytest.mark.long
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_part_is_caught(mutant: str) -> None:
    part, right, wrong = MUTANTS[mutant]
    module = bank_wiring if part is PopularityBank else core_module
    with mock.patch.object(module, part.__name__, mutated(part, right, wrong)):
        with pytest.raises(AssertionError, match="mini-batch"):
            compare("little-room", 0.4)
