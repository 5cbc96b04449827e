"""The benchmark of training: its figures agree with one another. No speed is judged."""

from __future__ import annotations

import json

import numpy as np
import pytest

from hotline_host.benchmarks.rivals import bench as bench_module
from hotline_host.benchmarks.rivals import measure, rivals
from hotline_host.benchmarks.rivals.bench import bench_rivals
from hotline_host.benchmarks.rivals.configs import CONFIGS, fitting_share, table_rows
from hotline_host.benchmarks.rivals.results import Ratio
from hotline_host.benchmarks.rivals.settings import ALL_THREADS, RivalSettings
from hotline_host.benchmarks.rivals.summary import path_table, rival_tables
from hotline_host.data.sources import load
from hotline_host.errors import SettingsError
from hotline_host.experiments.record import record_log
from hotline_host.experiments.settings import Settings
from hotline_host.pipelines.ordinary import OrdinaryPipeline
from hotline_host.pipelines.steps import PipelineFigures
from hotline_hw.spec.params import PRESETS

QUICK = {"rows": 1e-4, "batch_sizes": (64,), "steps": 2, "rounds": 2, "learn": 2, "test": 2, "preset": "edge"}


@pytest.fixture(scope="module")
def told() -> list[dict]:
    """The figures each time that there were new ones; the last are complete."""
    told: list[dict] = []
    settings = RivalSettings(
        **QUICK | {"batch_sizes": (64, 32), "threads": (1,), "hbm": ("equal", "all")}, hot_rows=900
    )
    bench_rivals(settings, changed=lambda result: told.append(json.loads(json.dumps(result.as_dict()))))
    return told


def test_all_rivals_run_and_the_exact_ones_have_equal_losses(told):
    final = told[-1]
    assert final["finished"] and not any(each["finished"] for each in told[:-1])
    assert [(case["batch_size"], case["hbm"]) for case in final["cases"]] == [
        (64, "equal"), (64, "all"), (32, "equal"), (32, "all"),
    ]  # fmt: skip
    for case in final["cases"]:
        assert list(case["rivals"]) == [name for name in rivals.RIVALS if name not in case["skipped"]]
        assert case["skipped"].keys() <= {"fbgemm"}
        for name, figures in case["rivals"].items():
            assert len(figures["round_seconds"]) == 2
            if name != "ordinary":
                assert 0 <= figures["max_loss_difference"] < 1e-6, name
                assert figures["auc"] == pytest.approx(case["rivals"]["ordinary"]["auc"], abs=1e-3)


def test_figures_follow_from_one_another(told):
    final = told[-1]
    assert final["rivals"] == final["cases"][0]["rivals"] and final["hbm_budget_bytes"] == 900 * 17 * 4
    assert final["table_bytes"] == final["rows"] * 17 * 4 and final["peak_host_bytes"] > 0
    assert {"machine", "gpu", "versions", "date", "command"} <= final.keys() and final["gpu"] is None
    whole = final["cases"][1]
    assert whole["hot_rows"] == final["rows"], "all the rows fit"
    for case in final["cases"]:
        reference = case["rivals"]["ordinary"]
        for name, figures in case["rivals"].items():
            seconds = sorted(figures["round_seconds"])
            assert figures["seconds_per_step"] == pytest.approx(np.mean(seconds))
            assert [figures[f"seconds_per_step_{which}"] for which in ("least", "most")] == seconds
            assert figures["samples_per_second"] == pytest.approx(case["batch_size"] / figures["seconds_per_step"])
            assert figures["link_bytes"] == figures["link_bytes_in"] + figures["link_bytes_out"]
            assert figures["host_cpu_seconds"] > 0 and figures["gpu_busy"] is None
            ratio = case["ratios"][name]["ordinary"]
            values = [b / a for a, b in zip(figures["round_seconds"], reference["round_seconds"], strict=True)]
            assert (ratio["least"], ratio["most"]) == (min(values), max(values))


def test_every_round_is_told(told):
    rounds = [
        [len(figures["round_seconds"]) for figures in each["cases"][-1]["rivals"].values()] for each in told
    ]  # fmt: skip
    running = len(told[-1]["rivals"])
    assert [1] * running in rounds and [2] * running in rounds


def test_bytes_and_parts_of_a_step_are_means_of_all_rounds(monkeypatch):
    class Counting(OrdinaryPipeline):
        """The n-th step, from 1, takes n seconds, says the pipeline, and brings n bytes."""

        taken = 0

        def progress(self, batches):
            self.taken += 1
            return super().progress(batches)

        def figures(self):
            whole = self.taken * (self.taken + 1) // 2
            return PipelineFigures({"wait": float(whole), "learn": 5.0}, link_bytes_in=whole)

    monkeypatch.setattr(rivals, "RIVALS", {"counting": Counting})
    figures = bench_rivals(RivalSettings(**QUICK)).cases[0].rivals["counting"]
    timed = [3, 4, 7, 8]  # two warm steps come before the two that are timed, in both rounds
    assert figures.path == {"wait": pytest.approx(np.mean(timed))} and figures.link_bytes_in == np.mean(timed)


class _Failing(OrdinaryPipeline):
    """Fails at a step, after the first round."""

    left = 2 + measure.WARM

    def progress(self, batches):
        if not self.left:
            raise RuntimeError("no more\nof this")
        self.left -= 1
        return super().progress(batches)


class _Refusing(OrdinaryPipeline):
    def __init__(self, setup) -> None:
        raise SettingsError("needs CUDA")


def test_a_rival_that_fails_is_listed_with_the_reason_and_the_others_go_on(monkeypatch):
    found = {"ordinary": OrdinaryPipeline, "failing": _Failing, "refusing": _Refusing, "resident": OrdinaryPipeline}
    monkeypatch.setattr(rivals, "RIVALS", found)
    monkeypatch.setitem(
        CONFIGS, "small", CONFIGS["kaggle"].__class__(shape="kaggle", dimension=16, hbm_share=0.5, about="")
    )
    result = bench_rivals(RivalSettings(**QUICK, config="small"))
    (case,) = result.cases
    assert list(case.rivals) == ["ordinary", "failing"]
    assert case.skipped["failing"] == "in round 1: no more"
    assert case.skipped["refusing"] == "needs CUDA"
    assert case.skipped["resident"].startswith(f"its {result.table_bytes:,} bytes of rows do not fit")
    assert len(case.rivals["failing"].round_seconds) == 1 and len(case.rivals["ordinary"].round_seconds) == 2
    (table,) = rival_tables(result)
    assert "refusing: needs CUDA" in str(table.caption) and list(table.columns[0].cells) == ["ordinary", "failing"]
    assert {column.header for column in path_table(case).columns} == {"rival", "step", "pack", "wait", "train"}


def test_a_rival_with_other_losses_is_seen(monkeypatch):
    class Wrong(OrdinaryPipeline):
        def progress(self, batches):
            next(batches)
            return super().progress(batches)

    monkeypatch.setattr(rivals, "RIVALS", {"ordinary": OrdinaryPipeline, "wrong": Wrong})
    result = bench_rivals(RivalSettings(**QUICK))
    assert result.cases[0].rivals["wrong"].max_loss_difference > 1e-4


def test_sizes_adapt_to_the_memory_that_is_there(monkeypatch):
    config = CONFIGS["kaggle"]
    assert fitting_share(config, 0.5, 1, 1 << 40) == 0.5
    room = table_rows(config, 0.11) * config.row_bytes
    assert fitting_share(config, 0.5, 1, room) == 0.0625
    with pytest.raises(SettingsError, match="do not fit into 1,000 bytes of memory; name fewer rivals"):
        fitting_share(config, 0.5, 1, 1000)
    monkeypatch.setattr(bench_module, "available_bytes", lambda: 60_000_000)
    result = bench_rivals(RivalSettings(**QUICK | {"rows": 0.01, "rivals": ("ordinary",)}))
    assert result.rows_share == 0.0025 < result.rows_share_asked
    assert result.rows == table_rows(config, 0.0025) and "memory has no room for more" in str(
        rival_tables(result)[0].title
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_configurations(name):
    log = load(CONFIGS[name].data(1e-5), samples=50)
    assert log.rows.sum() == table_rows(CONFIGS[name], 1e-5) and CONFIGS[name].model().dimension % 16 == 0


def test_a_ratio_is_of_the_rounds_that_both_have():
    assert Ratio.of([1.0, 2.0, 4.0], [2.0, 2.0]) == Ratio(1.5, 1.0, 2.0)
    assert Ratio.of([], [1.0]) is None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"config": "avazu"}, "config is 'avazu'; it must be one of kaggle, terabyte, multihot"),
        ({"rounds": 0}, "rounds is 0; it must be at least 1"),
        ({"batch_sizes": (0,)}, "batch sizes are (0,); give one or more, each at least 1"),
        ({"threads": (-1,)}, "threads are (-1,); give one or more numbers above 0, or all"),
        ({"rows": 2.0}, "rows is 2.0; it must be a share above 0, at most 1"),
        ({"hbm": ("some",)}, "hbm is 'some'; it must be one or both of equal, all"),
    ],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(SettingsError) as error:
        RivalSettings(**settings)
    assert message in str(error.value)


def test_unknown_rivals_are_named():
    with pytest.raises(SettingsError, match="rivals is 'hotline,slow'; it must hold some of hotline"):
        bench_rivals(RivalSettings(rivals=("hotline", "slow")))
    assert RivalSettings().threads == (ALL_THREADS,)


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """13 mini-batches of 32 after 2 to learn from: just enough for QUICK."""
    path = tmp_path_factory.mktemp("recording") / "kaggle.npz"
    log = load(CONFIGS["kaggle"].data(1e-4), samples=20 * 32, seed=3)
    settings = Settings(hot_rows=700, learn_share=0.1, batch_size=32, objective="rows")
    record_log(log, PRESETS["edge"], "model", settings, path, mini_batches=13, seed=3)
    return path


def test_a_recording_says_what_is_trained_on(recording):
    result = bench_rivals(
        RivalSettings(**QUICK | {"rivals": ("ordinary", "hotline"), "rows": 1.0}, recording=recording)
    )
    (case,) = result.cases
    assert (case.batch_size, case.hot_rows, result.seed, result.rows_share) == (32, 700, 3, 1e-4)
    assert result.accelerator == f"replay:{recording}" and not case.skipped
    assert case.rivals["hotline"].max_loss_difference < 1e-6
    live = bench_rivals(RivalSettings(**QUICK | {"rivals": ("hotline",), "batch_sizes": (32,)}, hot_rows=700, seed=3))
    seen = [each.cases[0].rivals["hotline"].cold_rows for each in (result, live)]
    assert seen[0] == seen[1], "the golden model in the loop splits the same mini-batches in the same way"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"config": "terabyte"},
            "is of synthetic:kaggle,vocabulary=0.0001; the config terabyte takes one of synthetic:t",
        ),
        ({"steps": 3}, "holds 13 mini-batches, and 2 rounds of 3 steps need 15; take fewer"),
        ({"hbm": ("all",)}, "hbm is 'all', but a recording is of its own number of hot rows; give equal"),
    ],
)
def test_a_recording_that_does_not_fit_is_named(recording, settings, message):
    with pytest.raises(SettingsError) as error:
        bench_rivals(RivalSettings(**QUICK | settings, recording=recording))
    assert message in str(error.value)
