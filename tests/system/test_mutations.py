"""That the comparison of the core with the golden model can fail: small mistakes in the hardware, each of them caught.

A mistake is made in a copy of the package `hotline_hw`, from which another process generates and Verilates a core.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

import hotline_hw
from hotline_hw.params import PRESETS, Geometry
from tests.system.core_against_model import DIFFERENT, difference

TINY = PRESETS["tiny"]
SRRIP = TINY.override({"entries_per_hot_row": 1})
CUTTING = TINY.override({"bank_ports": 1})  # beats have more lookups for a bank than it takes


@dataclass(frozen=True)
class Mutation:
    """A mistake: in module `module` of the hardware, `right`, which is there once, becomes `wrong`."""

    name: str
    module: str
    right: str
    wrong: str
    geometry: Geometry = TINY


MUTATIONS = [
    Mutation("no forwarding to the next lookup", "tracker",
             "follows.eq(update_valid & (update_set == compare_set))",
             "follows.eq(0)",
             SRRIP,
             SRRIP),
    Mutation("no forwarding to the next but one", "tracker",
             "patch.eq(done_valid & (done_set == compare_set))",
             "patch.eq(0)",
             SRRIP,
             SRRIP),
    Mutation("budget ignored", "tracker",
             "Mux(Cat(self.bank, compare_set) < self.budget.boundary, self.budget.ways_high, self.budget.ways_low)",
             "(1 << g.ways) - 1",
             SRRIP,
             SRRIP),
    Mutation("victim is the highest way", "srrip",
             "candidates & (~candidates + 1)[: self.ways]",
             "candidates & ~(candidates >> 1 | candidates >> 2 | candidates >> 3)",
             SRRIP,
             SRRIP),
    Mutation("no aging", "srrip",
             "age.eq(~largest)",
             "age.eq(0)",
             SRRIP,
             SRRIP),
    Mutation("insertion at distant", "srrip",
             "fill if long >> plane & 1 else 0",
             "fill if distant >> plane & 1 else 0",
             SRRIP,
             SRRIP),
    Mutation("one credit too many", "bank",
             "in_flight <= g.queue_depth - g.bank_ports",
             "in_flight <= g.queue_depth - g.bank_ports + 1"),
    Mutation("beats are not cut", "scatter",
             "rank >= g.bank_ports",
             "rank > g.bank_ports",
             CUTTING),
    Mutation("misses of a straddling sample lost", "classifier",
             "write.data.eq(select_one(first_end, verdicts))",
             "write.data.eq(0)"),
    Mutation("tlast on the beat before an overflow", "compactor",
             "placed.last & ~full",
             "placed.last"),
    Mutation("no forwarding to the next update", "sample_aware",
             "follows.eq(stage_valid & (stage_set == compare_set))",
             "follows.eq(0)"),
    Mutation("no forwarding to the next update but one", "sample_aware",
             "patch.eq(done_valid & (done_set == compare_set))",
             "patch.eq(0)"),
    Mutation("a hot row can be driven out", "counter_update",
             "self.usable[way] & ~self.hot[way], Cat",
             "self.usable[way], Cat"),
    Mutation("of equal counters the highest way goes", "counter_update",
             "(low <= high)",
             "(low < high)"),
    Mutation("counters wrap", "counter_update",
             "counted.eq(Mux(total > largest, largest, total))",
             "counted.eq(total)"),
    Mutation("all counters age alike", "counter_update",
             "counter - Mux(self.referenced[way], counter >> 3, counter - (counter >> 1))",
             "counter >> 1"),
    Mutation("aging one lookup late", "counter_update",
             "(self.age + 1 >= self.age_period)",
             "(self.age >= self.age_period)"),
    Mutation("slots of rows that become cold are lost", "selector",
             "slot.eq(Mux(vacated.r_rdy, vacated.r_data[: g.slot_bits], self.hot_count))",
             "slot.eq(self.hot_count)"),
    Mutation("the walk does not go round", "selector",
             "set_.eq((set_ + 1) & self.set_mask), left.eq(left - 1)",
             "set_.eq(Mux(set_ == self.set_mask, set_, set_ + 1)), left.eq(left - 1)"),
    Mutation("no forwarding to the next update", "sample_aware",
             "follows.eq(stage_valid & (stage_set == compare_set))",
             "follows.eq(0)"),
    Mutation("no forwarding to the next update but one", "sample_aware",
             "patch.eq(done_valid & (done_set == compare_set))",
             "patch.eq(0)"),
    Mutation("a hot row can be driven out", "counter_update",
             "self.usable[way] & ~self.hot[way], Cat",
             "self.usable[way], Cat"),
    Mutation("of equal counters the highest way goes", "counter_update",
             "(low <= high)",
             "(low < high)"),
    Mutation("counters wrap", "counter_update",
             "counted.eq(Mux(total > largest, largest, total))",
             "counted.eq(total)"),
    Mutation("all counters age alike", "counter_update",
             "counter - Mux(self.referenced[way], counter >> 3, counter - (counter >> 1))",
             "counter >> 1"),
    Mutation("aging one lookup late", "counter_update",
             "(self.age + 1 >= self.age_period)",
             "(self.age >= self.age_period)"),
    Mutation("slots of rows that become cold are lost", "selector",
             "slot.eq(Mux(vacated.r_rdy, vacated.r_data[: g.slot_bits], self.hot_count))",
             "slot.eq(self.hot_count)"),
    Mutation("the walk does not go round", "selector",
             "set_.eq((set_ + 1) & self.set_mask), left.eq(left - 1)",
             "set_.eq(Mux(set_ == self.set_mask, set_, set_ + 1)), left.eq(left - 1)"),
]  # fmt: skip


@pytest.mark.parametrize("geometry", [TINY, SRRIP, CUTTING], ids=["tiny", "srrip", "cutting"])
def test_the_core_equals_the_model(geometry: Geometry) -> None:
    assert difference(geometry, seed=1) is None


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name.replace(" ", "_"))
def test_a_mistake_is_caught(mutation: Mutation, tmp_path: Path) -> None:
    mutate(mutation, tmp_path)
    # The copy comes first on the path, and -P keeps the current folder from coming before it.
    path = os.pathsep.join([str(tmp_path), *(entry or os.getcwd() for entry in sys.path)])
    command = [sys.executable, "-P", "-m", "tests.system.core_against_model", json.dumps(mutation.geometry.as_dict())]
    environment = os.environ | {"PYTHONPATH": path, "HOTLINE_CACHE": str(Path("build", "mutations").absolute())}
    run = subprocess.run(command, env=environment, capture_output=True, text=True)
    print(run.stdout)
    assert run.returncode == DIFFERENT, f"not caught: status {run.returncode}\n{run.stdout}{run.stderr}"


def mutate(mutation: Mutation, folder: Path) -> None:
    """Puts a copy of `hotline_hw` with the mistake into `folder`."""
    copy = folder / "hotline_hw"
    shutil.copytree(Path(hotline_hw.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    module = copy / f"{mutation.module}.py"
    source = module.read_text()
    places = source.count(mutation.right)
    assert places == 1, f"{mutation.right!r} is {places} times in {module.name}, not once: mutate what is there now"
    module.write_text(source.replace(mutation.right, mutation.wrong))
