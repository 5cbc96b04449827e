"""The cache of builds: made once, by one of those who ask, and never half."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hotline_device.device import DeviceError
from hotline_sim.build.cache import LOG_NAME, cache_folder, cached_build, digest, log_tail, run_logged


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HOTLINE_CACHE", str(tmp_path / "cache"))
    return cache_folder()


def _build(folder: Path) -> None:
    (folder / "part").write_text("one")
    time.sleep(0.2)
    (folder / "whole").write_text("two")


def test_built_once(cache):
    built = []

    def build(folder: Path) -> None:
        built.append(folder)
        _build(folder)

    first, second = (cached_build("core-1", "core", build) for _ in range(2))
    assert first == second == cache / "core-1"
    assert (first / "whole").read_text() == "two"
    assert len(built) == 1 and not built[0].exists()


def _ask(name: str, builds: Path) -> None:
    def build(folder: Path) -> None:
        (builds / str(os.getpid())).touch()
        _build(folder)

    assert (cached_build(name, name, build) / "whole").read_text() == "two"


def test_processes_share_one_build(tmp_path):
    builds = tmp_path / "builds"
    builds.mkdir()
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_ask, args=("core-1", builds)) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0, 0]
    assert len(list(builds.iterdir())) == 1


def test_failed_build_leaves_its_log_alone(cache):
    def build(folder: Path) -> None:
        (folder / "part").touch()
        run_logged([sys.executable, "-c", "print('no such thing'); raise SystemExit(3)"], folder, os.environ, "making")

    with pytest.raises(DeviceError, match=r"(?s)making failed with status 3.*core-1\.log.*no such thing"):
        cached_build("core-1", "core", build)
    assert sorted(path.name for path in cache.iterdir()) == ["core-1.lock", "core-1.log"]
    assert "no such thing" in (cache / "core-1.log").read_text()
    assert (cached_build("core-1", "core", _build) / "whole").exists()


def test_interrupted_build_ends_its_children(tmp_path):
    script = f"""
import os, sys
from pathlib import Path
from hotline_sim.build.cache import cached_build, run_logged
step = "import os, time; open({str(tmp_path / "pid")!r}, 'w').write(str(os.getpid())); time.sleep(600)"
cached_build("core-1", "core", lambda folder: run_logged([sys.executable, "-c", step], folder, os.environ, "step"))
"""
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path))
    process = subprocess.Popen([sys.executable, "-c", script], env=env, stderr=subprocess.PIPE, text=True)
    pid = tmp_path / "pid"
    while not (pid.exists() and pid.read_text()):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert "KeyboardInterrupt" in process.communicate(timeout=60)[1]
    with pytest.raises(ProcessLookupError):
        os.kill(int(pid.read_text()), 0)
    assert not any(path.is_dir() for path in cache_folder().iterdir())


def test_unusable_cache_says_what_to_set(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOTLINE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DeviceError, match="cannot keep builds in .*file.*Set HOTLINE_CACHE to a folder"):
        cached_build("core-1", "core", _build)


def test_default_is_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("HOTLINE_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "hotline" / "builds"


def test_digest_sees_where_parts_end():
    assert digest("ab", "c") != digest("a", "bc") != digest("abc")
    assert digest("ab", "c") == digest("ab", "c")


def test_log_tail(tmp_path):
    (tmp_path / LOG_NAME).write_text("".join(f"line {n}\n" for n in range(30)))
    assert log_tail(tmp_path / LOG_NAME, 2) == "    line 28\n    line 29"
    assert "no log" in log_tail(tmp_path / "none")
