"""No module's longest path gets longer unnoticed."""

from __future__ import annotations

import pytest

from hotline_hw.spec.params import preset
from hotline_hw.synth import budget
from hotline_hw.synth.flow import synthesize_design
from hotline_hw.synth.paths import Path, Step
from hotline_hw.synth.targets import find_target
from hotline_hw.synth.verilog import Design, read_design
from hotline_sim.build.verilog import core_verilog

TOP = "hotline_device"


def silent(what: str, done: int, total: int) -> None:
    pass


@pytest.fixture(scope="module")
def tiny() -> Design:
    return read_design(core_verilog(preset("tiny"), TOP))


@pytest.mark.long
@pytest.mark.parametrize("module", budget.ALONE["tiny", "ecp5-85k"])
def test_modules_alone(tiny: Design, module: str) -> None:
    allowed = budget.read()["alone"]["tiny on ecp5-85k"]
    found = synthesize_design(tiny, module, find_target("ecp5-85k"), silent, levels_only=True).timings.longest
    assert found is not None
    excess = budget.excesses({module: allowed[module]}, {module: found})
    assert not excess, "\n".join(excess)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize(("name", "target"), budget.WHOLE)
def test_whole_presets(name: str, target: str) -> None:
    allowed = budget.read()["whole"].get(budget.setting(name, target))
    if allowed is None:
        pytest.skip(f"budget.json has no {budget.setting(name, target)}: make synth-budget")
    design = read_design(core_verilog(preset(name), TOP))
    found = synthesize_design(design, TOP, find_target(target), silent, levels_only=True)
    excess = budget.excesses(allowed, found.timings.modules)
    assert not excess, "\n\n".join(excess)


def path(levels: int) -> Path:
    return Path("a.count", "b.full", 8 * levels, levels, 0, 0, (Step("a.count", 0), Step("b.full", levels)))


def test_an_excess_names_the_path() -> None:
    assert budget.excesses({"one": 3}, {"one": path(3)}) == []
    (text,) = budget.excesses({"one": 3}, {"one": path(4)})
    assert "one has 4 levels, 3 are allowed" in text and "a.count -> b.full" in text and "4.00  b.full" in text


def test_modules_without_a_budget_and_budgets_without_a_module() -> None:
    new, gone = budget.excesses({"old": 3}, {"new": path(1)})
    assert "new has no budget" in new and "no longer there: old" in gone


def test_a_budget_is_what_was_found(tmp_path) -> None:
    found = {"one": path(3), "two": path(0)}
    file = tmp_path / "budget.json"
    budget.write({"alone": {"tiny on xcup": budget.limits(found)}}, file)
    assert budget.excesses(budget.read(file)["alone"]["tiny on xcup"], found) == []
