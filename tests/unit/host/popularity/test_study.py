"""The popularity study: figures and command."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

from hotline_host.commands.main import app
from hotline_host.data.sources import load
from hotline_host.popularity import study, trackers
from hotline_host.popularity.judging import Counts
from hotline_host.popularity.settings import PopularitySettings
from hotline_host.popularity.study import popularity
from hotline_host.popularity.trackers import TRACKERS


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data(tmp_path: Path) -> str:
    """A log of 400 samples: two tables of 40 rows and one of 20. All rows occur."""
    rng = np.random.default_rng(3)
    sparse = (np.array([40, 40, 20]) * rng.random((400, 3)) ** 3).astype(np.int64)
    sparse[:40] = np.minimum(np.arange(40)[:, None], [39, 39, 19])
    np.savez(tmp_path / "log.npz", sparse=sparse)
    return f"npz:{tmp_path / 'log.npz'}"


def hotline(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["popularity", *map(str, arguments)])


def refused(*arguments: object) -> str:
    """The one line with which the command ends on an expected error."""
    result = hotline(*arguments, "--json", "no.json", "--report", "no")
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("hotline: ") and result.stderr.count("\n") == 1, result.stderr
    assert not list(Path().glob("**/no.json")) and not list(Path().glob("**/*.png")), "nothing is written"
    return result.stderr


def test_the_command(data: str) -> None:
    run = hotline("--data", data, "--hot-rows", "50,10%,10", "--json", "out/p.json", "--report", "out")
    assert run.exit_code == 0, run.output
    assert run.stderr == "", "no progress where there is no terminal"
    assert "10 (10%)" in run.stdout and "50 (50%)" in run.stdout
    figures = json.loads(Path("out/p.json").read_text())
    assert figures["data"] == "npz:log.npz" and "row" in figures["rule"]
    assert (figures["samples"], figures["tables"], figures["distinct_rows"], figures["lookups"]) == (400, 3, 100, 1200)
    assert (figures["learn_share"], figures["freeze"], figures["select_every"]) == (0.5, False, 512)
    assert (figures["learned_samples"], figures["judged_samples"]) == (200, 200)
    assert (figures["judged_lookups"], figures["judged_bags"]) == (600, 600)
    assert figures["hot_rows"] == [10, 50]
    assert figures["trackers"].keys() == figures["seconds"]["trackers"].keys() == TRACKERS.keys()
    for name, shares in figures["trackers"].items():
        assert shares.keys() == {"10", "50"}, name
        for share in shares.values():
            assert share.keys() == {"popular_share", "lookup_hit_share", "bag_hit_share"}
            assert 0 <= share["popular_share"] <= share["lookup_hit_share"] <= 1
        shown = next(line for line in run.stdout.splitlines() if line.startswith(f"{name} ")).split()
        expected = (100 * shares["50"]["popular_share"], 100 * shares["50"]["lookup_hit_share"])
        assert shown[-3:] == [f"{expected[0]:.1f}", "/", f"{expected[1]:.1f}"]
    assert Path("out/popularity.png").read_bytes().startswith(b"\x89PNG")


def test_options_reach_the_study(data: str) -> None:
    run = hotline(
        "--data", data, "--hot-rows", "7", "--trackers", "srrip_16way, exact_top_n", "--learn-share", 0.25,
        "--select-every", 30, "--freeze", "--samples", 200, "--json", "p.json",
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    figures = json.loads(Path("p.json").read_text())
    assert list(figures["trackers"]) == ["exact_top_n", "srrip_16way"]
    assert (figures["samples"], figures["learned_samples"], figures["judged_samples"]) == (200, 50, 150)
    assert (figures["freeze"], figures["select_every"], figures["hot_rows"]) == (True, 30, [7])


def test_all_rows_hot_make_every_sample_popular_to_hindsight_alone(data: str) -> None:
    log = load(data)
    settings = PopularitySettings(hot_rows="100%", learn_share=0.05, trackers="hindsight_sample,lru")
    shares = popularity(log, settings)["trackers"]
    assert shares["hindsight_sample"]["100"] == dict.fromkeys(("popular_share", "lookup_hit_share", "bag_hit_share"), 1)
    assert 0 < shares["lru"]["100"]["popular_share"] < 1, "rows are not in a cache at their first lookup"


def test_hindsight_is_best_at_what_it_aims_for(data: str) -> None:
    shares = popularity(load(data), PopularitySettings(hot_rows="20"))["trackers"]
    most = max(share["20"]["lookup_hit_share"] for share in shares.values())
    assert shares["hindsight_frequency"]["20"]["lookup_hit_share"] == most
    frozen = popularity(load(data), PopularitySettings(hot_rows="20", freeze=True))["trackers"]
    assert frozen["hindsight_sample"] == shares["hindsight_sample"]
    assert frozen["lru"] != shares["lru"]


def test_shares_a_tracker_does_not_tell_are_null(data: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A tracker is one line too: a name, and a function that counts."""
    monkeypatch.setitem(trackers.TRACKERS, "ten", lambda stream, rows, trial: Counts(popular=rows, hits=60))
    figures = popularity(load(data), PopularitySettings(hot_rows="10", trackers="ten"))
    assert figures["trackers"] == {
        "ten": {"10": {"popular_share": 0.05, "lookup_hit_share": 0.1, "bag_hit_share": None}}
    }


def test_bags_of_several_lookups(tmp_path: Path) -> None:
    np.savez(tmp_path / "bags.npz", indices=[0, 1, 2, 0, 1, 3, 0], lengths=[[2, 1], [1, 0], [2, 1]])
    figures = popularity(load(f"npz:{tmp_path / 'bags.npz'}"), PopularitySettings(hot_rows="2", learn_share=0.2))
    assert (figures["judged_lookups"], figures["judged_bags"]) == (7, 5)
    assert figures["trackers"]["hindsight_frequency"]["2"] == {
        "popular_share": 1 / 3, "lookup_hit_share": 4 / 7, "bag_hit_share": 2 / 5,
    }  # fmt: skip


def test_progress_ends_where_the_log_does(data: str) -> None:
    calls: list[tuple[str, int, int]] = []
    settings = PopularitySettings(hot_rows="10", trackers="lru")
    study.popularity(load(data), settings, lambda *call: calls.append(call))
    assert calls[0] == ("numbering rows", 0, 1)
    assert calls[1] == ("lru, 10 hot rows, samples", 0, 400) and calls[-1] == ("lru, 10 hot rows, samples", 400, 400)


def test_default_sizes_are_shares_of_the_rows_that_occur() -> None:
    assert PopularitySettings().sizes("log", 33_762_577) == [337_625, 1_688_128, 3_376_257, 8_440_644]
    assert PopularitySettings().sizes("log", 20) == [1, 2, 5], "at least one row, and none twice"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--hot-rows", "many"), "hot rows is 'many'; write a whole number, or a share of the log's rows such as 10%"),
        (("--hot-rows", "10,"), "hot rows is ''; write a whole number"),
        (("--hot-rows", "1.5"), "hot rows is '1.5'; write a whole number"),
        (("--hot-rows", "5,0"), "hot rows is 0; it must be at least 1"),
        (("--hot-rows", "0%"), "hot rows is 0%; a share must be above 0% and at most 100%"),
        (("--hot-rows", "101%"), "hot rows is 101%; a share must be above 0% and at most 100%"),
        (("--hot-rows", "nan%"), "hot rows is nan%; a share must be above 0% and at most 100%"),
        (("--hot-rows", "101"), "hot rows is 101, but npz:log.npz has 100 distinct rows; choose 1 to 100, or a share"),
        (("--trackers", "lru,belady"), "unknown tracker 'belady'; the trackers are hindsight_frequency, "),
        (("--learn-share", "1"), "learn share is 1.0; it must be at least 0 and below 1"),
        (("--select-every", "0"), "select every is 0; it must be at least 1 sample"),
    ],
)
def test_wrong_settings(data: str, arguments: tuple[str, ...], message: str) -> None:
    assert message in refused("--data", data, *arguments)


def test_a_curve_over_the_log(data: str) -> None:
    run = hotline("--data", data, "--hot-rows", "10", "--trackers", "lru,ours", "--select-every", "20",
                  "--curve", "50", "--json", "p.json", "--report", "out")  # fmt: skip
    assert run.exit_code == 0, run.output
    figures = json.loads(Path("p.json").read_text())
    assert Path("out/curve.png").stat().st_size > 10_000
    for name, step in (("lru", 50), ("ours", 60)):
        points = figures["curves"][name]["10"]
        assert [done for done, _ in points] == list(range(step, 401, step)), "whole pieces, of the learned part too"
        judged = [share for done, share in points if done > 200]
        if name == "lru":
            assert np.mean(judged) == pytest.approx(figures["trackers"][name]["10"]["popular_share"])


def test_sweeps(data: str) -> None:
    run = hotline("--data", data, "--hot-rows", "10,30", "--trackers", "ours", "--sweep", "--json", "p.json")
    assert run.exit_code == 0, run.output
    figures = json.loads(Path("p.json").read_text())
    assert figures["sweeps"].keys() >= {"entries per hot row", "ways", "counter bits", "weights", "age period"}
    assert "samples between SELECTs" in figures["sweeps"]
    for what, variants in figures["sweeps"].items():
        assert what in run.stdout and len(variants) >= 3
    assert figures["sweeps"]["ways"]["16"] == figures["trackers"]["ours"], "the default is one of them"
    assert figures["sweeps"]["weights"]["1 (frequency)"] != figures["trackers"]["ours"]
