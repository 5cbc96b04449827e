"""`hotline bench-sim`: its figures agree with one another and with the mini-batches. No figure is judged."""

from __future__ import annotations

import json
from statistics import median

import pytest
from typer.testing import CliRunner

from hotline_host.benchmarks.simulation.bench import bench_simulation
from hotline_host.benchmarks.simulation.results import SimBenchResult
from hotline_host.benchmarks.simulation.settings import SimBenchSettings
from hotline_host.benchmarks.simulation.summary import sim_bench_tables
from hotline_host.commands.main import app
from hotline_host.data.sources import load
from hotline_host.errors import SettingsError
from hotline_hw.spec.params import PRESETS
from hotline_sim.memory.timing import PRESETS as TIMINGS
from tests.support.tools import needs

TINY = PRESETS["tiny"]
QUICK = {"batch_size": 32, "model": "small", "steps": 3, "rounds": 2, "stream_batches": 3}
RIVAL = "cocotb:verilator"

pytestmark = needs("verilator")


@pytest.fixture(scope="module")
def result() -> SimBenchResult:
    return bench_simulation(
        load("synthetic:kaggle", samples=600), TINY, SimBenchSettings(hot_rows=25, rival=RIVAL, **QUICK)
    )


@pytest.fixture(scope="module")
def figures(result) -> dict:
    return result.as_dict()


def test_streams_are_the_same_for_every_backend(figures):
    assert list(figures["stream"]) == ["verilated", "model", RIVAL]
    for name, phases in figures["stream"].items():
        batches = 1 if name == RIVAL else 3
        assert list(phases) == ["learn", "classify", "relearn", "gather"]
        for phase, measured in phases.items():
            assert (measured["batches"], measured["lookups"]) == (batches, batches * 32 * 26)
            assert measured["lookups_per_second"] == pytest.approx(measured["lookups"] / measured["seconds"])
            assert (measured["cycles"] is None) == (name == "model") == (measured["shares"] is None)
            assert (measured["rows"] > 0) == (phase == "gather")
            assert measured["rows_per_second"] == measured["rows"] / measured["seconds"]
    assert figures["stream"]["verilated"]["gather"]["rows"] == figures["stream"]["model"]["gather"]["rows"]


@pytest.mark.parametrize("name", ["verilated", RIVAL])
def test_figures_in_clock_cycles_are_within_their_bounds(figures, name):
    for measured in figures["stream"][name].values():
        assert measured["cycles_per_second"] == pytest.approx(measured["dma_cycles"] / measured["seconds"])
        assert measured["dma_cycles"] >= measured["cycles"]
        assert sum(measured["dma_shares"].values()) == pytest.approx(1) and min(measured["dma_shares"].values()) >= 0
        whole = measured["lookups"] / measured["dma_cycles"] / 2
        assert measured["lookups_per_dma_cycle_per_lane"] == pytest.approx(whole)
        used = measured["lookups_per_cycle_per_lane"]
        assert used == pytest.approx(measured["lookups"] / measured["cycles"] / 2) and 0.1 < used <= 1
        assert measured["shares"].keys() == {"input_idle", "bank_stall", "split_beats", "output_stall"}
        assert all(0 <= share <= 1 for share in measured["shares"].values())


def test_ratios_follow_from_the_figures(figures):
    for phase, ratio in figures["rival_ratio"].items():
        speeds = [figures["stream"][name][phase]["lookups_per_second"] for name in ("verilated", RIVAL)]
        assert ratio == pytest.approx(speeds[0] / speeds[1])
    training = figures["training"]
    assert list(training["seconds"]) == ["verilated", "model"]
    for name, seconds in training["seconds"].items():
        assert len(seconds) == 2 * 3 and min(seconds) > 0
        assert training["median_seconds"][name] == median(seconds)
    medians = training["median_seconds"]
    assert training["rtl_ratio"] == pytest.approx(medians["verilated"] / medians["model"])
    assert 0 <= training["popular_share"] < 1
    for when in ("accelerator_seconds", "wait_seconds"):
        assert training[when].keys() == {"verilated", "model"} and min(training[when].values()) > 0


def test_gathering_by_memory_and_dimension(figures):
    assert figures["memory"] == "pcie4-x16"
    assert list(figures["gather"]) == list(TIMINGS)
    for memory, measured in figures["gather"].items():
        assert list(measured) == ["16", "64", "128"]
        for each in measured.values():
            assert 12 <= each["rows"] <= 24 and each["cycles"] > each["rows"]
            assert 0 < each["gb_per_s"] <= 4, "128 bits at 250 MHz"
            assert each["utilisation"] == max(each["link_utilisation"], each["bus_utilisation"]) <= 1
            assert sum(each["dma_shares"].values()) == pytest.approx(1)
        if memory == "ideal":
            assert measured["128"]["utilisation"] > 0.9


def test_return_path(figures):
    assert list(figures["return_path"]) == ["16", "64", "128"]
    for dimension, each in figures["return_path"].items():
        beats = each["rows"] * int(dimension) * 4 / 64
        assert each["scatter_cycles"] > 2 * beats, "gradients and rows are read, rows written beside"
        assert each["scatter_seconds"] == pytest.approx(each["scatter_cycles"] / 250e6)
        assert each["driver_seconds"] > 0


def test_tables_show_the_rivals_and_the_load(figures, result):
    tables, training = sim_bench_tables(result), figures["training"]
    assert "load average" in str(tables[0].title) and RIVAL in str(tables[0].title)
    assert list(tables[0].columns[0].cells)[::4] == ["verilated", "golden model", RIVAL]
    assert f"{figures['stream']['verilated']['learn']['lookups_per_second']:,.0f}" in tables[0].columns[3].cells
    assert f"{training['rtl_ratio']:.2f}" in str(tables[3].title)
    assert list(tables[4].columns[0].cells) == list(figures["gather"])


def test_the_command(tmp_path):
    run = CliRunner().invoke(app, [
        "bench-sim", "--preset", "tiny", "--samples", "600", "--hot-rows", "25", "--batch-size", "32",
        "--model", "small", "--steps", "1", "--rounds", "1", "--rival", "none",
        "--json", str(tmp_path / "bench-sim.json"),
        "--report", str(tmp_path),
    ])  # fmt: skip
    assert run.exit_code == 0, run.output
    assert "lookups/s" in run.stdout and "load average" in run.stdout
    written = json.loads((tmp_path / "bench-sim.json").read_text())
    assert written["rival"] is None and written["rival_ratio"] is None
    assert len(written["load_average"]["before"]) == len(written["load_average"]["after"]) == 3
    assert written["cores"] >= 1 and written["preset"] == "tiny" and written["hot_rows"] == 25
    assert (tmp_path / "bench-sim.png").read_bytes().startswith(b"\x89PNG")


def test_wrong_settings_are_named():
    with pytest.raises(SettingsError, match="rival is 'model'; it must be none or one of cocotb, cocotb:icarus"):
        SimBenchSettings(rival="model")
    with pytest.raises(SettingsError, match="rounds is 0; it must be at least 1"):
        SimBenchSettings(rounds=0)
    with pytest.raises(SettingsError, match="0 of 10 samples are learned from"):
        bench_simulation(load("synthetic:kaggle", samples=10), TINY, SimBenchSettings(learn_share=0.05))
