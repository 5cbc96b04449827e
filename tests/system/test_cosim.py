"""The training loop with the accelerator in it: parity with ordinary training, the split, figures and files."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from rich.console import Console

from hotline_device.device import DeviceError
from hotline_host.data.log import Batch, ClickLog
from hotline_host.data.sources import load
from hotline_host.driver.driver import Driver
from hotline_host.driver.follow import Follower, FollowOptions
from hotline_host.errors import DriverError, SettingsError
from hotline_host.experiments import memory
from hotline_host.experiments.cosim import cosim
from hotline_host.experiments.cosim_settings import CosimSettings
from hotline_host.experiments.history import History
from hotline_host.experiments.report import draw
from hotline_host.experiments.results import CosimResult
from hotline_host.experiments.settings import Settings
from hotline_host.experiments.split import split_log
from hotline_host.experiments.summary import headline, summary
from hotline_host.files import write_json
from hotline_host.pipelines.steps import count_split
from hotline_host.plan import Split
from hotline_host.training.ordinary import OrdinaryTrainer
from hotline_hw.spec.params import PRESETS
from hotline_sim.model import device as model_device
from hotline_sim.model.device import ModelDevice
from tests.support.gathering_runs import ROOMY, ordinary_step, size_of_batches
from tests.support.small_runs import small_settings, write_skewed_log
from tests.support.tools import backends, needs

TINY = PRESETS["tiny"]
BOTH = ("hotline", "ordinary")
EXACT = 1e-12
KEYS = {
    "backend", "preset", "steps", "samples", "lookups", "hot_rows", "popular_share", "lookup_hit_share", "cycles",
    "lookups_per_cycle", "bag_hit_share", "working_rows", "moved_rows", "relearn_share", "select_every", "memory",
    "gathered_rows", "held_rows", "host_gathered_rows", "dma_cycles", "bytes_read", "bytes_written",
    "loss", "baseline_loss", "max_loss_difference", "max_parameter_difference", "auc", "baseline_auc", "seconds",
    "pipelines", "history",
}  # fmt: skip


@pytest.fixture(scope="module")
def log(tmp_path_factory) -> ClickLog:
    path = tmp_path_factory.mktemp("log") / "log.npz"
    write_skewed_log(path)
    return load(f"npz:{path}")


def settings(**changes) -> CosimSettings:
    return small_settings(**{"pipelines": BOTH} | changes)


def check_against_the_log(figures: dict, log: ClickLog) -> None:
    """Counts that follow from the log and the settings are counted again here."""
    assert figures["samples"] == 700 and figures["steps"] == 11
    trained = log.batch(200, 900)
    assert figures["lookups"] == len(trained.indices)
    assert figures["learned_samples"] == 200 and figures["test_samples"] == 100
    # The core sees no empty sample. The driver calls these popular.
    counters, empty = figures["counters"], int((trained.lengths.sum(1) == 0).sum())
    assert counters["samples"] == 700 - empty and empty > 5
    assert figures["popular_share"] == pytest.approx((counters["popular_samples"] + empty) / 700)
    assert figures["lookup_hit_share"] == pytest.approx(counters["lookup_hits"] / figures["lookups"])
    assert 0.1 < figures["popular_share"] < figures["lookup_hit_share"] < 0.95


@pytest.mark.parametrize("optimizer", ["adagrad", "sgd"])
@pytest.mark.parametrize(("dtype", "loss", "auc"), [("float32", 1e-4, 2e-3), ("float64", 1e-12, 1e-9)])
def test_parity_with_ordinary_training(log, optimizer, dtype, loss, auc):
    chosen = settings(dtype=dtype, optimizer=optimizer, rate=0.05, select_every=2)
    result = cosim(log, TINY, "model", chosen)
    figures, history = result.as_dict(), result.history
    check_against_the_log(figures, log)
    assert figures["moved_rows"] == sum(history.moved) > 0
    assert figures["max_loss_difference"] < loss
    assert figures["max_loss_difference"] == np.abs(np.subtract(result.first.losses, result.baseline.losses)).max()
    assert figures["auc"] == pytest.approx(figures["baseline_auc"], abs=auc)
    assert figures["loss"] == pytest.approx(figures["baseline_loss"], abs=loss)
    assert figures["loss"] == result.first.losses[-1], "a tenth of 11 steps is one"
    if dtype == "float64":
        assert figures["max_parameter_difference"] < 1e-11
    if optimizer == "adagrad":
        assert figures["auc"] > 0.6 and result.first.losses[-1] < 0.67


def test_parity_in_float32_on_real_data():
    """The run of `make cosim`, except for the backend: it is ordinary training bit for bit."""
    log, chosen = load("ml-100k"), CosimSettings(hot_rows=1800, passes=2, pipelines=BOTH)
    figures = cosim(log, PRESETS["kaggle"], "model", chosen).as_dict()
    assert figures["dtype"] == "float32" and figures["steps"] == 2 * 469 and figures["test_samples"] == 10_000
    assert figures["popular_share"] > 0.08 and figures["lookup_hit_share"] > 0.8
    assert figures["relearn_share"] == 0.25 and figures["moved_rows"] > 500
    assert figures["auc"] == figures["baseline_auc"] > 0.66
    assert figures["max_loss_difference"] == 0 == figures["max_parameter_difference"]


def test_every_key_and_null_where_there_is_none(log, tmp_path):
    result = cosim(log, TINY, "model", settings(pipelines=BOTH[:1], steps=2))
    write_json(tmp_path / "a" / "cosim.json", result.as_dict())
    figures = json.loads((tmp_path / "a" / "cosim.json").read_text())
    assert figures.keys() >= KEYS
    for key in ("cycles", "lookups_per_cycle", "baseline_loss", "max_loss_difference", "baseline_auc"):
        assert figures[key] is None, key
    assert figures["seconds"].keys() >= {
        "train", "split", "plan", "pack", "gather", "wait", "launch", "baseline", "learn", "build",
    }  # fmt: skip
    assert figures["seconds"]["baseline"] is None and figures["seconds"]["train"] > 0
    assert figures["history"]["losses"] == result.first.losses and len(result.first.losses) == 2
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["cosim.json"]


def test_more_steps_go_round_again(log):
    result = cosim(log, TINY, "model", settings(steps=25, dtype="float64", relearn_share=0))
    assert cosim(log, TINY, "model", settings(passes=3, pipelines=BOTH[:1])).as_dict()["steps"] == 33
    history = result.history
    assert result.as_dict()["steps"] == 25 == len(result.first.losses)
    for values in (history.popular, history.samples, history.hits, history.lookups, history.working_rows, history.bags):
        assert values[11:22] == values[:11] and values[22:] == values[:3]
    assert history.samples[:11] == [64] * 10 + [60], "the last mini-batch is what is left"
    assert result.as_dict()["samples"] == 2 * 700 + 3 * 64
    assert result.as_dict()["max_loss_difference"] < 1e-12
    losses = result.first.losses
    assert np.mean(losses[11:22]) < np.mean(losses[:11])
    assert result.as_dict()["loss"] == pytest.approx(np.mean(losses[-2:]))


def small_log(tables: int, rows: int) -> ClickLog:
    """200 one-hot samples."""
    rng = np.random.default_rng(1)
    return ClickLog(
        name="small", tables=tuple("abc"[:tables]), rows=np.full(tables, rows),
        indices=rng.integers(0, rows, 200 * tables), lengths=np.ones((200, tables), np.int64),
        dense=np.empty((200, 0), np.float32), label=(rng.random(200) < 0.5).astype(np.float32),
    )  # fmt: skip


@pytest.mark.parametrize(("hot_rows", "learn_share", "share"), [(0, 0.3, 0.0), (32, 0.0, 0.0), (32, 0.3, 1.0)])
def test_no_sample_popular_and_every_sample_popular(hot_rows, learn_share, share):
    """In turn: nothing may be hot, nothing was learned, and all 12 rows fit."""
    chosen = settings(hot_rows=hot_rows, learn_share=learn_share, dtype="float64", relearn_share=0)
    figures = cosim(small_log(2, 6), TINY, "model", chosen).as_dict()
    assert figures["popular_share"] == share == figures["lookup_hit_share"] == figures["bag_hit_share"]
    assert figures["working_rows"] == pytest.approx(0.0 if share else 12, abs=0.5)
    assert figures["placed_rows"] == (12 if share else 0)
    assert figures["max_loss_difference"] < 1e-12 and figures["max_parameter_difference"] < 1e-11


def test_a_test_part_of_one_class_has_no_auc():
    log = small_log(1, 5)
    log.label[:] = 0
    figures = cosim(log, TINY, "model", settings(steps=1)).as_dict()
    assert figures["auc"] is None and figures["baseline_auc"] is None and figures["loss"] is not None


THREE = ("hotline", "hotline-split", "ordinary")


@pytest.mark.parametrize("backend", backends("model", "verilated"))
def test_both_schedules_beside_ordinary_training(log, tmp_path, backend):
    """As `hotline cosim --pipelines hotline,hotline-split,ordinary`."""
    chosen = settings(pipelines=THREE, dtype="float64", select_every=2, check=True)
    result = cosim(log, TINY, backend, chosen)
    write_json(tmp_path / "cosim.json", result.as_dict())
    figures = json.loads((tmp_path / "cosim.json").read_text())
    assert figures.keys() >= KEYS and list(figures["pipelines"]) == list(THREE)
    for name in THREE[1:]:
        each = figures["pipelines"][name]
        assert each["max_loss_difference"] < EXACT and each["max_parameter_difference"] < 1e-11
        assert len(each["losses"]) == figures["steps"] and np.isfinite(each["losses"]).all()
    assert (
        result.pipelines["ordinary"].max_loss_difference == 0 == result.pipelines["ordinary"].max_parameter_difference
    )
    assert figures["moved_rows"] > 0 and 0.1 < figures["popular_share"] < 0.95
    draw(result, tmp_path / "cosim.png")
    assert (tmp_path / "cosim.png").read_bytes().startswith(b"\x89PNG")


def test_the_schedule_is_chosen(log):
    """One objective gives the same splits under both schedules; losses differ by round-off."""
    pool, split = (
        cosim(log, TINY, "model", settings(schedule=each, objective="samples", dtype="float64"))
        for each in ("pool", "split")
    )
    named = cosim(log, TINY, "model", settings(pipelines=("hotline-split",), dtype="float64"))
    assert named.first.losses == split.first.losses != pool.first.losses
    np.testing.assert_allclose(split.first.losses, pool.first.losses, rtol=0, atol=EXACT)
    for name in ("popular", "hits", "working_rows", "moved", "gathered_rows", "held_rows"):
        assert getattr(split.history, name) == getattr(pool.history, name), name


def test_figures_are_of_the_pipeline_with_the_accelerator(log):
    """Whatever else splits mini-batches in the same run."""
    alone, beside = (
        cosim(log, TINY, "model", settings(pipelines=names, hot_rows=32)).as_dict()
        for names in (("hotline",), ("static", "lru", "hotline"))
    )
    for name in ("popular_share", "lookup_hit_share", "moved_rows", "gathered_rows", "counters", "placed_rows"):
        assert beside[name] == alone[name], name
    for name in ("popular", "hits", "working_rows", "moved", "gathered_rows"):
        assert beside["history"][name] == alone["history"][name], name


def test_rivals_alone(log, tmp_path):
    """Software splits: there are no clock cycles, and a cache has counters of its own."""
    result = cosim(log, TINY, "xdma", settings(pipelines=("lru", "lfu"), hot_rows=32, steps=3))
    figures = result.as_dict()
    assert figures["cycles"] is figures["dma_cycles"] is None and figures["counters"]["misses"] > 0
    assert figures["max_loss_difference"] == 0 and figures["moved_rows"] == sum(result.history.moved) > 0
    assert figures["gathered_rows"] == 0 < figures["host_gathered_rows"]
    draw(result, tmp_path / "cosim.png")
    assert "popular samples" in summary(result).columns[0].cells
    static = cosim(log, TINY, "xdma", settings(pipelines=("static",), steps=3)).as_dict()
    assert static["counters"] == {} and static["popular_share"] > 0 and static["moved_rows"] == 0


@needs("verilator")
def test_verilated_equals_model_and_counts_cycles(log):
    model = cosim(log, ROOMY, "model", settings(select_every=2))
    verilated = cosim(log, ROOMY, "verilated", settings(select_every=2, memory="ddr4-local"))
    check_against_the_log(verilated.as_dict(), log)
    for name in (
        "popular", "samples", "hits", "lookups", "bag_hits", "bags", "working_rows", "moved", "gathered_rows",
        "host_rows", "held_rows",
    ):  # fmt: skip
        assert getattr(verilated.history, name) == getattr(model.history, name), name
    assert verilated.first.losses == model.first.losses
    assert not any(model.history.cycles)
    assert all(verilated.history.cycles)
    assert sum(verilated.history.cycles) == verilated.as_dict()["cycles"]
    # Mini-batches have some 190 lookups, and the latency of memory is as long as they are.
    assert 0.25 < verilated.as_dict()["lookups_per_cycle"] <= TINY.lanes
    check_gathered(model)
    check_gathered(verilated)
    assert verilated.as_dict()["memory"] == "ddr4-local"
    assert sum(model.history.moved) and verilated.as_dict()["counters"]["select_cycles"] > 0


def test_rows_are_gathered_with_learning_by_bag_in_between(log):
    """Learning comes between CLASSIFY and GATHER, and leaves the lists of cold rows alone."""
    chosen = settings(dtype="float64", learn_by="bag", relearn_share=1, select_every=3)
    result = cosim(log, ROOMY, "model", chosen)
    check_gathered(result)
    assert result.as_dict()["max_loss_difference"] < 1e-12
    assert all(host <= moved for host, moved in zip(result.history.host_rows, result.history.moved, strict=True))


def test_mini_batches_beyond_what_can_be_listed_are_counted(log):
    """The host fetches their rows, and the losses are those of ordinary training."""
    working = TINY.override({"working_rows": 32})
    result = cosim(log, working, "model", settings(dtype="float64", hot_rows=20))
    figures, history = result.as_dict(), result.history
    assert 0 < figures["unlisted_mini_batches"] == sum(history.unlisted) <= len(history.unlisted)
    for unlisted, gathered in zip(history.unlisted, history.gathered_rows, strict=True):
        assert not (unlisted and gathered), "the host gathers all rows, or none"
    assert figures["max_loss_difference"] < 1e-12
    console = Console(width=200)
    with console.capture() as told:
        console.print(summary(result))
    assert (
        f"{figures['unlisted_mini_batches']} mini-batches, so that the host fetched all their cold rows" in told.get()
    )
    roomy = cosim(log, ROOMY, "model", settings(pipelines=BOTH[:1]))
    assert roomy.as_dict()["unlisted_mini_batches"] == 0
    with console.capture() as told:
        console.print(summary(roomy))
    assert "listed" not in told.get()


def check_gathered(result: CosimResult) -> None:
    """Checks what was gathered by DMA: in the history, in the figures, and by the accelerator's own counters."""
    figures, history, counters = result.as_dict(), result.history, result.as_dict()["counters"]
    gathered, held, host = (np.array(rows) for rows in (history.gathered_rows, history.held_rows, history.host_rows))
    assert figures["gathered_rows"] == gathered.sum() == counters["rows_gathered"] > 100
    assert figures["held_rows"] == held.sum() > 20
    assert figures["host_gathered_rows"] == host.sum() < gathered.sum()
    assert (gathered + held <= history.working_rows).all()
    assert (gathered + held + host >= history.working_rows).all()
    by_device = gathered > 0
    if figures["backend"] == "model":
        assert figures["memory"] is figures["dma_cycles"] is figures["bytes_read"] is figures["bytes_written"] is None
        assert not any(history.gather_cycles)
        return
    assert ((np.array(history.gather_cycles) > 0) == by_device).all()
    assert min(figures["bytes_read"], figures["bytes_written"]) > gathered.sum() * 64
    causes = ("dma_useful", "dma_core", "dma_read", "dma_write", "dma_overhead")
    assert sum(counters[name] for name in causes) == counters["dma_cycles"] == figures["dma_cycles"]
    assert figures["dma_cycles"] > figures["cycles"] and figures["dma_cycles"] > sum(history.gather_cycles)


@pytest.mark.parametrize("backend", backends("model", "verilated"))
def test_split_alone(log, backend):
    result = split_log(log, TINY, backend, Settings(hot_rows=30, batch_size=64, relearn_share=0))
    rest = log.batch(200, 1000)
    np.testing.assert_array_equal(result.offsets, rest.sample_offsets)
    assert result.slots.shape == rest.indices.shape and result.slots.max() < 30
    cold = np.concatenate([[0], np.cumsum(result.slots < 0)])[result.offsets]
    np.testing.assert_array_equal(result.popular, np.diff(cold) == 0)
    keys = rest.tables * 1000 + rest.indices
    for slot in range(30):
        assert len(np.unique(keys[result.slots == slot])) <= 1, "a slot holds one row"
    assert (result.as_dict()["cycles"] is None) == (backend == "model")
    assert result.as_dict()["popular_share"] == result.popular.mean() > 0.1


def test_settings_are_checked():
    for change, message in (
        ({"steps": -1}, "steps is -1"),
        ({"passes": 0}, "passes is 0; it must be at least 1"),
        ({"eps": 0.0}, "eps is 0.0; it must be a finite number above 0"),
        ({"eps": float("nan")}, "eps is nan"),
        ({"rate": float("inf")}, "rate is inf; it must be a finite number above 0"),
        ({"hot_rows": -1}, "hot rows is -1"),
        ({"learn_share": 1.0}, "learn share is 1.0; it must be at least 0 and below 1"),
        ({"batch_size": 0}, "batch size is 0"),
        ({"schedule": "both"}, "schedule is 'both'; it must be one of pool, split"),
        ({"dtype": "float16"}, "dtype is 'float16'; it must be one of float32, float64"),
        ({"model": "large"}, "model is 'large'; it must be one of small, kaggle"),
        ({"dimension": 0}, "dimension holds the width 0"),
        ({"dimension": 6}, "dimension is 6, which makes rows of 24 bytes in float32; .* choose a multiple of 4 up to"),
        ({"dimension": 5, "dtype": "float64"}, "rows of 40 bytes in float64; .* choose a multiple of 2 up to 512"),
        ({"dimension": 1028}, "rows of 4112 bytes"),
        ({"memory": "hbm"}, "memory is 'hbm'; it must be one of ideal, pcie3-x16"),
        ({"optimizer": "adam"}, "optimizer is 'adam'; it must be one of"),
        ({"rate": -1.0}, "rate is -1.0"),
        ({"device": "gpu"}, "device is 'gpu'; it must be cpu, cuda or cuda:NUMBER"),
        ({"device": "cuda:99"}, "device cuda:99 is not available"),
        ({"device": "cpu:7"}, "device is 'cpu:7'; it must be cpu, cuda or cuda:NUMBER"),
        ({"device": "nonsense"}, "device is 'nonsense'; it must be cpu"),
        ({"seed": -1}, "seed is -1; it must be 0 to 4294967295"),
        ({"seed": 10**20}, "seed is 100000000000000000000; it must be 0 to"),
        (
            {"pipelines": ()},
            "pipelines is ''; it must hold one or more of hotline, hotline-split, .*, each at most",
        ),
        ({"pipelines": ("hotline", "hugectr")}, "pipelines is 'hotline,hugectr'"),
        ({"pipelines": ("ordinary", "ordinary")}, "pipelines is 'ordinary,ordinary'"),
        ({"relearn_share": 1.5}, "relearn share is 1.5; it must be 0 to 1"),
        ({"relearn_share": -0.1}, "relearn share is -0.1"),
        ({"select_every": 0}, "select every is 0; it must be at least 1"),
        ({"move_limit": -1}, "move limit is -1; it must be 0 to 4294967295"),
    ):
        with pytest.raises(SettingsError, match=message):
            settings(**change)


def test_the_ordinary_pipeline_alone_needs_no_accelerator(log, tmp_path):
    """No card is there to be opened, and what an accelerator would tell is left out everywhere."""
    result = cosim(log, TINY, "xdma", settings(pipelines=("ordinary",), steps=3))
    figures = result.as_dict()
    assert (
        figures["popular_share"] is figures["counters"] is figures["gathered_rows"] is figures["baseline_loss"] is None
    )
    assert figures["samples"] == 3 * 64 and not figures["history"]["popular"]
    assert figures["history"]["losses"] == result.pipelines["ordinary"].losses
    names = list(summary(result).columns[0].cells)
    assert "loss" in names and "AUC" in names and "popular samples" not in names and "clock cycles" not in names
    draw(result, tmp_path / "cosim.png")
    assert (tmp_path / "cosim.png").stat().st_size > 10_000


def test_any_pipeline_may_be_the_first(log):
    reverse = cosim(log, TINY, "model", settings(pipelines=BOTH[::-1], dtype="float64"))
    figures, straight = reverse.as_dict(), cosim(log, TINY, "model", settings(dtype="float64")).as_dict()
    assert list(figures["pipelines"]) == ["ordinary", "hotline"]
    assert (figures["loss"], figures["baseline_auc"]) == (straight["baseline_loss"], straight["auc"])
    for name in ("max_loss_difference", "max_parameter_difference", "popular_share", "gathered_rows", "counters"):
        assert figures[name] == straight[name], name
    assert figures["placed_rows"] == straight["placed_rows"] > 0


def test_a_log_without_lookups_is_refused():
    log = small_log(2, 6)
    empty = replace(log, indices=log.indices[:0], lengths=np.zeros_like(log.lengths))
    message = "small: all bags of its 200 samples are empty, so there is no row to track or to train"
    with pytest.raises(SettingsError, match=message):
        cosim(empty, TINY, "model", settings())
    with pytest.raises(SettingsError, match=message):
        split_log(empty, TINY, "model", Settings())


def test_a_training_part_without_lookups_trains():
    log = small_log(2, 6)
    lengths = log.lengths.copy()
    lengths[60:] = 0
    log = replace(log, indices=log.indices[:120], lengths=lengths)
    figures = cosim(log, TINY, "model", settings(learn_share=0.3, dtype="float64")).as_dict()
    assert figures["lookups"] == 0 and figures["lookup_hit_share"] is None and figures["popular_share"] == 1
    assert figures["max_loss_difference"] < 1e-12


@pytest.mark.parametrize("backend", ["model", "no such backend"])
def test_tables_beyond_memory_are_refused_before_anything_is_opened(backend):
    log = replace(small_log(2, 6), rows=np.array([6, 1 << 32]))
    message = (
        "tables of 4,294,967,302 rows, dimension 16, 4 bytes an element, 2 times, need 584,115,553,072 bytes of "
        "memory, and 1,000,000 are free; keep them in files (--tables DIR), or take"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(memory, "available_bytes", lambda: 10**6)
        with pytest.raises(SettingsError, match=re.escape(message)):
            cosim(log, TINY, backend, settings())


def test_tables_in_files(log, tmp_path):
    """They train as tables in memory do, and the files go at the end."""
    pipelines = ("hotline", "zero-copy", "ordinary")
    kept, filed = (
        cosim(log, TINY, "model", settings(steps=6, pipelines=pipelines, tables=place)).as_dict()
        for place in (None, tmp_path / "tables")
    )
    assert filed["pipelines"]["hotline"]["loss"] == kept["pipelines"]["hotline"]["loss"]
    assert filed["max_parameter_difference"] == kept["max_parameter_difference"]
    assert not [*(tmp_path / "tables").glob("hotline-*/")]


def test_free_memory_is_known():
    assert 1 << 20 < memory.available_bytes() < 1 << 50


def test_nothing_left_to_train_on(log):
    with pytest.raises(SettingsError, match="of 1000 samples 950 are learned from and 100 kept for the test"):
        cosim(log, TINY, "model", settings(learn_share=0.95))


def test_hot_rows_default_to_a_tenth_or_the_capacity(log):
    assert CosimSettings().budget(log, 64) == 12
    assert CosimSettings().budget(log, 7) == 7
    assert settings(hot_rows=90).budget(log, 64) == 90, "what was asked for is not changed in silence"
    assert cosim(log, TINY, "model", settings(hot_rows=None, steps=1)).as_dict()["hot_rows"] == 12
    with pytest.raises(DriverError, match="90 hot rows are beyond"):
        cosim(log, TINY, "model", settings(hot_rows=90))


# Popularity that drifts


def drifting_log() -> ClickLog:
    """3,000 one-hot samples of 2 tables of 200 rows. 10 rows at a time are looked up, and they change over time."""
    rng = np.random.default_rng(2)
    time = np.arange(3000)[:, None]
    rows = (time // 50 + rng.integers(0, 10, (3000, 2))) % 200
    return ClickLog(
        name="drifting", tables=("a", "b"), rows=np.array([200, 200]), indices=rows.ravel(),
        lengths=np.ones((3000, 2), np.int64), dense=np.empty((3000, 0), np.float32),
        label=(rng.random(3000) < 0.5).astype(np.float32),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("changes", "least", "most"),
    [({"relearn_share": 0}, 0, 0.05), ({"relearn_share": 1, "select_every": 1}, 0.2, 1), ({"select_every": 2}, 0.1, 1)],
)
def test_hot_rows_follow_popularity(changes, least, most):
    chosen = settings(hot_rows=32, learn_share=0.1, batch_size=16, pipelines=BOTH, dtype="float64", **changes)
    result = cosim(drifting_log(), TINY, "model", chosen)
    assert least <= result.as_dict()["popular_share"] <= most
    assert result.as_dict()["max_loss_difference"] < 1e-12 and result.as_dict()["max_parameter_difference"] < 1e-11
    every, moved = result.as_dict()["select_every"], result.history.moved
    assert all(count == 0 for step, count in enumerate(moved) if step % every) and moved[0] == 0
    assert max(moved) <= TINY.max_moves and (sum(moved) > 50) == (result.as_dict()["relearn_share"] > 0)


def test_a_move_limit_is_kept_but_in_learning():
    chosen = settings(hot_rows=32, learn_share=0.1, batch_size=16, relearn_share=1, select_every=1, move_limit=2)
    result = cosim(drifting_log(), TINY, "model", chosen)
    assert result.as_dict()["placed_rows"] > 20 and result.as_dict()["move_limit"] == 2
    assert max(result.history.moved) == 2


def test_relearned_mini_batches_are_evenly_spread(log):
    driver = Driver(ModelDevice(TINY))
    phases = []
    driver.classify = lambda batch, *, relearn, **_: phases.append(relearn)
    follower = Follower(driver, FollowOptions(relearn_share=0.4, select_every=3))
    for _ in range(10):
        follower.split(log.batch(0, 1))
    assert "".join(".L"[phase] for phase in phases) == "..L.L..L.L"


def test_split_follows_too():
    chosen = {"hot_rows": 32, "learn_share": 0.1, "batch_size": 16}
    fixed, follows = (
        split_log(drifting_log(), TINY, "model", Settings(**chosen, relearn_share=share, select_every=1)).as_dict()
        for share in (0, 1)
    )
    assert fixed["popular_share"] < 0.05 and fixed["moved_rows"] == 0
    assert follows["popular_share"] > 0.2 and follows["moved_rows"] > 50
    assert follows["working_rows"] < fixed["working_rows"] <= 32


def test_bags_and_working_rows_are_counted():
    batch = Batch(
        indices=np.array([5, 6, 5, 5, 7, 7, 5]), lengths=np.array([[2, 1], [0, 3], [1, 0]]),
        dense=np.empty((3, 0), np.float32), label=np.zeros(3, np.float32),
    )  # fmt: skip
    split = Split(np.array([False, False, True]), np.array([0, 1, -1, -1, -1, -1, 0]))
    history = History()
    history.record(count_split(batch, split, 3, 0))
    # Bags with a lookup: [5 6] hits, [5] of table 1 misses, [5 7 7] misses, [5] hits. Cold rows: 5 and 7 of table 1.
    assert (history.bag_hits, history.bags, history.working_rows, history.moved) == ([2], [4], [2], [3])
    counters = dict.fromkeys(("cycles", "dma_cycles", "bytes_read", "bytes_written"))
    assert history.split_figures(counters).bag_hit_share == 0.5


class Interrupted(Exception):
    """Stands for Ctrl-C, which would reach the test runner."""


def test_an_exception_in_training_closes_the_device_and_ends_the_thread(log, monkeypatch):
    devices = []

    class Watched(model_device.ModelDevice):
        def __init__(self, geometry):
            super().__init__(geometry)
            devices.append(self)

    monkeypatch.setattr(model_device, "ModelDevice", Watched)
    states = []

    def progress(what: str, done: int, total: int) -> None:
        states.append((what, done, total))
        if what.startswith("training") and done == 3:
            raise Interrupted

    with pytest.raises(Interrupted):
        cosim(log, TINY, "model", settings(), progress)
    assert states[-1] == ("training hotline, steps", 3, 11)
    assert len(devices) == 1
    with pytest.raises(DeviceError, match="the device was closed"):
        devices[0].read(0)


@pytest.mark.parametrize("backend", backends("model", "verilated"))
def test_report(log, tmp_path, backend):
    result = cosim(log, TINY, backend, settings())
    draw(result, tmp_path / "deep" / "cosim.png")
    picture = (tmp_path / "deep" / "cosim.png").read_bytes()
    assert picture.startswith(b"\x89PNG") and len(picture) > 20_000
    assert headline(result).startswith("npz:log.npz: 30 of 120 rows hot, learned on 200 samples; tiny on ")
    table = summary(result)
    names, values = (list(column.cells) for column in table.columns)
    shown = dict(zip(names, values, strict=True))
    assert shown["hot rows"] == "30 of 120"
    assert shown["popular samples"] == f"{100 * result.as_dict()['popular_share']:.2f}%"
    assert shown["AUC"] == f"{result.as_dict()['auc']:.5f}  (ordinary: {result.as_dict()['baseline_auc']:.5f})"
    assert (shown["clock cycles"] == "none on this backend") == (backend == "model") == ("moved by DMA" not in shown)
    assert shown["gathered by DMA"].startswith(f"{result.as_dict()['gathered_rows']:,} rows")


def test_the_ordinary_trainer_alone_gives_the_baseline(log):
    """The baseline sees the same mini-batches as a loop written out here."""
    chosen = settings(dtype="float64")
    result = cosim(log, TINY, "model", chosen)
    batches = [log.batch(start, min(start + 64, 900)) for start in range(200, 900, 64)]
    trainer = OrdinaryTrainer(
        chosen.train_config(2), log.rows, size_of_batches(batches), dtype=torch.float64, seed=chosen.seed
    )
    assert [ordinary_step(trainer, batch) for batch in batches] == result.baseline.losses
