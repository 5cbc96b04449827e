"""Shows that the comparison of the core with the golden model can fail: it catches each of some small mistakes.

A mistake is made in a copy of the package `hotline_hw`. Another process generates and Verilates a core from this copy.
As many processes run side by side as there are processors.
"""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

import hotline_hw
from hotline_hw.spec.params import PRESETS, Geometry
from hotline_sim.build.tools import find_compiler
from tests.support.tools import needs
from tests.system.core_against_model import DIFFERENT, difference

pytestmark = [needs("verilator"), pytest.mark.slow]  # a Verilator build for each mutant

TINY = PRESETS["tiny"]
CUTTING = replace(TINY, name="tiny-cutting", bank_ports=1)  # beats have more lookups for a bank than it takes at once


@dataclass(frozen=True)
class Mutation:
    """A mistake: in module `module` of the core, `right`, which occurs there once, becomes `wrong`."""

    name: str
    module: str
    right: str
    wrong: str
    geometry: Geometry = TINY


MUTATIONS = [
    # The stream's way through the core
    Mutation("one credit too many", "intake",
             "init=g.queue_depth - g.bank_ports)",
             "init=g.queue_depth - g.bank_ports + 1)"),
    Mutation("beats are not cut", "scatter",
             "count >= g.bank_ports",
             "count > g.bank_ports",
             CUTTING),
    # The front table
    Mutation("an old row's slot is kept for a new one", "front",
             "self.clear | self.forget | renew",
             "self.clear | self.forget"),
    Mutation("a row is in the table twice", "front",
             "key_valid & ~same.any()",
             "key_valid"),
    Mutation("bad lookups match", "front",
             "used[row] & source.valid & ~source.bad",
             "used[row] & source.valid"),
    Mutation("a gain is lost", "gains",
             "with m.If(handed[row]):",
             "with m.If(handed.any()):"),
    Mutation("gains go a mini-batch too late", "gains",
             "with m.Elif(self.end):",
             "with m.Elif(self.end & gains[0][0]):"),
    Mutation("what a row gains counts at once too", "updates",
             "Mux(source.fronted, 0, lane_weights[lane])",
             "lane_weights[lane]"),
    Mutation("a cold row of the table gains", "gather",
             "fronted.eq(source.fronted & hit)",
             "fronted.eq(source.fronted)"),
    Mutation("verdict of a straddling sample inverted", "classifier",
             "Mux(judged.tail, tail_misses, judged.misses)",
             "Mux(judged.tail, tail_misses == 0, judged.misses)"),
    Mutation("tlast on the beat before an overflow", "compactor",
             "(last & ~full)",
             "last"),
    # The tracker
    Mutation("budget ignored", "sample_aware",
             "Mux(below, self.budget.ways_high, self.budget.ways_low)",
             "(1 << g.ways) - 1"),
    Mutation("no forwarding to the next update", "sample_aware",
             "Mux(same[3][0], now, chosen_state)",
             "chosen_state"),
    Mutation("no forwarding to the next update but one", "sample_aware",
             "(3, past[0]), (2, now)",
             "(3, past[0])"),
    Mutation("no waiting for another key of the set", "sample_aware",
             "& (ahead.set == came_set)",
             "& 0"),
    Mutation("a key that is being taken in is not known", "sample_aware",
             "select_one(follows[3], [past.way for past in outcomes])",
             "0"),
    Mutation("a tag is read while one is written", "sample_aware",
             "~waits.any() & ~inserts)",
             "~waits.any())"),
    Mutation("cold rows hit", "sample_aware",
             "for part in parts) & hot_ways",
             "for part in parts)"),
    Mutation("a hot row can be driven out", "sample_aware",
             "usable & ~read_hot",
             "usable"),
    Mutation("of a tie the highest way goes", "counter_update",
             "value[low] <= value[high]",
             "value[low] < value[high]"),
    Mutation("counters wrap", "counter_update",
             "Mux(full, largest, total)",
             "total"),
    Mutation("what was not looked up ages as what was", "counter_update",
             "Mux(aged & ~referenced, counter >> 1,",
             "Mux(0, counter >> 1,"),
    Mutation("a set ages a lookup too late", "counter_update",
             "(age + 1 + ahead >= age_period)",
             "(age + ahead >= age_period)"),
    Mutation("weight by all misses", "updates",
             "source.misses - ~source.hit",
             "source.misses"),
    Mutation("a straddling sample's misses from the wrong entry", "classifier",
             "Mux(popped, coming.tail_id, verdict.tail_id)",
             "Mux(popped, coming.tail_id - 1, verdict.tail_id - 1)"),
    Mutation("places of the bank's queues are given back twice", "intake",
             "less.eq(spare + freed - self.asked)",
             "less.eq(spare + freed + freed - self.asked)"),
    Mutation("not busy with updates", "core",
             "busy.eq(in_core | behind | updating)",
             "busy.eq(in_core)"),
    Mutation("threshold one too low", "selector",
             "self.threshold.eq(base + 1)",
             "self.threshold.eq(base)"),
    Mutation("hysteresis ignored", "selector",
             "lowest.eq(self.threshold - margin)",
             "lowest.eq(self.threshold)"),
    Mutation("more rows leave than slots are wanted", "selector",
             "to_demote.eq(Mux(to_promote > free, to_promote - free, 0))",
             "to_demote.eq(to_promote)"),
    Mutation("slots given up are handed out from the last", "selector",
             "fifo.SyncFIFOBuffered(width",
             "__import__('tests.system.lifo', fromlist=['Lifo']).Lifo(width"),
    Mutation("slots given up are lost", "selector",
             "slot.eq(Mux(vacated.r_rdy, vacated.r_data[: g.slot_bits], self.hot_count))",
             "slot.eq(self.hot_count)"),
    Mutation("MOVE_LIMIT ignored", "selector",
             "Mux(self.move_limit < g.max_moves, self.move_limit, g.max_moves)",
             "g.max_moves"),
    Mutation("the walk does not go round", "selector",
             "set_.eq((set_ + 1) & self.set_mask), left.eq(left - 1)",
             "set_.eq(Mux(set_ == self.set_mask, set_, set_ + 1)), left.eq(left - 1)"),
    Mutation("the walk begins at set 0", "selector",
             "self.select_start & self.set_mask if from_start else 0",
             "0"),
]  # fmt: skip


@pytest.fixture(scope="module")
def runs(request, tmp_path_factory) -> Iterator[dict[str, Future]]:
    """Starts the comparison of the core for each of the selected mistakes. Returns them by name."""
    selected = [item.callspec.params["mutation"] for item in request.session.items if "mutation" in _params(item)]
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield {
            mutation.name: pool.submit(compare, mutation, tmp_path_factory.mktemp("mutant")) for mutation in selected
        }
        pool.shutdown(cancel_futures=True)


def _params(item: pytest.Item) -> dict:
    return item.callspec.params if hasattr(item, "callspec") else {}


@pytest.mark.parametrize("geometry", [TINY, CUTTING], ids=lambda geometry: geometry.name)
def test_the_core_equals_the_model(geometry: Geometry) -> None:
    assert difference(geometry, seed=1) is None


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name.replace(" ", "_"))
def test_a_mistake_is_caught(mutation: Mutation, runs: dict[str, Future]) -> None:
    run = runs[mutation.name].result()
    print(run.stdout)
    assert run.returncode == DIFFERENT, f"not caught: status {run.returncode}\n{run.stdout}{run.stderr}"


def compare(mutation: Mutation, folder: Path) -> subprocess.CompletedProcess:
    mutate(mutation, folder)
    # The copy comes first on the path, and -P keeps the current folder from coming before it.
    path = os.pathsep.join([str(folder), *(entry or os.getcwd() for entry in sys.path)])
    command = [sys.executable, "-P", "-m", "tests.system.core_against_model", json.dumps(mutation.geometry.as_dict())]
    environment = os.environ | {
        "PYTHONPATH": path, "HOTLINE_CACHE": str(Path("build", "mutations").absolute()), **quick_build(folder),
    }  # fmt: skip
    return subprocess.run(command, env=environment, capture_output=True, text=True)


def quick_build(folder: Path) -> dict[str, str]:
    """Variables that make the build cheap, though its result is slower: all sources in one, nothing optimised."""
    compiler = folder / "compiler"
    compiler.write_text(f'#!/bin/sh\nexec {shlex.join(find_compiler())} "$@" -O0\n')
    compiler.chmod(0o755)
    return {"CXX": str(compiler), "MAKEFLAGS": "VM_PARALLEL_BUILDS=0"}


def mutate(mutation: Mutation, folder: Path) -> None:
    """Puts a copy of `hotline_hw` with the mistake into `folder`."""
    copy = folder / "hotline_hw"
    shutil.copytree(Path(hotline_hw.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    [module] = copy.joinpath("core").rglob(f"{mutation.module}.py")
    source = module.read_text()
    places = source.count(mutation.right)
    assert places == 1, f"{mutation.right!r} is {places} times in {module.name}, not once: mutate what is there now"
    module.write_text(source.replace(mutation.right, mutation.wrong))
