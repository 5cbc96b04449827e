"""The cache of builds: each is made once, by one of the processes that ask, and is never half done."""

from __future__ import annotations

import multiprocessing
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hotline_device.device import DeviceError
from hotline_sim.build.cache import LOG_NAME, builds_folder, cached_build, digest, log_tail, run_logged


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("HOTLINE_CACHE", str(tmp_path / "cache"))
    return builds_folder()


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
    assert not any(path.is_dir() for path in builds_folder().iterdir())


def test_unusable_cache_says_what_to_set(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("HOTLINE_CACHE", str(tmp_path / "file"))
    with pytest.raises(DeviceError, match="cannot keep builds in .*file.*Set HOTLINE_CACHE to a folder"):
        cached_build("core-1", "core", _build)


def test_no_place_for_builds(monkeypatch):
    monkeypatch.setattr("hotline_sim.build.cache.cache_folder", lambda: None)
    with pytest.raises(DeviceError, match="neither your cache folder nor .*Set HOTLINE_CACHE to a folder"):
        cached_build("core-1", "core", _build)


@pytest.mark.parametrize("damage", ["cut", "changed", "missing", "no list"])
def test_a_damaged_build_is_made_again(cache, capfd, damage):
    library = cached_build("core-1", "core", _build) / "whole"
    capfd.readouterr()
    match damage:
        case "cut":
            library.write_text("t")
        case "changed":
            library.write_text("owt")
        case "missing":
            library.unlink()
        case "no list":
            (library.parent / "contents.json").write_text("{")
    assert (cached_build("core-1", "core", _build) / "whole").read_text() == "two"
    assert (
        f"hotline: {cache / 'core-1'} is damaged and is built again\nhotline: building core" in capfd.readouterr().err
    )
    cached_build("core-1", "core", _build)
    assert capfd.readouterr().err == ""


def test_other_users_can_use_a_build(cache):
    """The user may share the cache folder that he names. The folders in it are as open as it is."""
    cache.parent.mkdir()
    cache.parent.chmod(0o1777)
    folder = cached_build("core-1", "core", _build)
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (cache, folder, cache / "core-1.lock")]
    assert modes == [0o1777, 0o755, 0o666]


def test_a_lock_of_another_user(cache, monkeypatch):
    def refuse(_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("filelock.FileLock.acquire", refuse)
    assert (cached_build("core-1", "core", _build) / "whole").exists()


def test_a_build_that_another_user_finished_first(cache, monkeypatch):
    """The other user's lock could not be taken. His folder stays."""

    def build(folder: Path) -> None:
        cached_build("other", "core", _build).rename(cache / "core-1")
        _build(folder)

    assert (cached_build("core-1", "core", build) / "whole").exists()
    assert sorted(path.name for path in cache.iterdir() if path.is_dir()) == ["core-1"]


def test_a_finished_build_needs_no_right_to_write(cache, monkeypatch):
    folder = cached_build("core-1", "core", _build)
    monkeypatch.setattr("hotline_sim.build.cache.make_folder", lambda _: pytest.fail("nothing need be made"))
    assert cached_build("core-1", "core", _build) == folder


@pytest.mark.parametrize("who", ["we", "compiler"])
def test_a_full_disk(cache, who):
    """One line says which folder and what to do. Nothing is left behind."""

    def build(folder: Path) -> None:
        (folder / "part").write_text("one")
        if who == "we":
            Path("/dev/full").write_text("two")
        step = "raise SystemExit('error writing to /cache/x.s: No space left on device')"
        run_logged([sys.executable, "-c", step], folder, os.environ, "making")

    with pytest.raises(DeviceError) as raised:
        cached_build("core-1", "core", build)
    assert str(raised.value) == (
        f"cannot keep builds in {cache}: No space left on device. "
        "Set HOTLINE_CACHE to a folder that can be written and has room"
    )
    assert not any(path.is_dir() for path in cache.iterdir())


def test_a_disk_that_is_full(tmp_path):
    """A file system of 64 KiB. The log cannot be kept either."""
    script = f"""
mount -t tmpfs -o size=64k tmpfs {tmp_path} || exit 77
{sys.executable} - <<'END'
import os, sys
from hotline_device.device import DeviceError
from hotline_sim.build.cache import cached_build, run_logged
step = "print('x' * 1000, flush=True); open('part', 'w').write('x' * 100_000)"
try:
    cached_build("core-1", "core", lambda folder: run_logged([sys.executable, "-c", step], folder, os.environ, "step"))
except DeviceError as error:
    print(error)
END
find {tmp_path} -type f
"""
    env = dict(os.environ, PYTHONPATH=os.pathsep.join(sys.path), HOTLINE_CACHE=str(tmp_path))
    done = subprocess.run(["unshare", "-m", "sh", "-c", script], env=env, capture_output=True, text=True)
    if done.returncode == 77 or done.stderr.startswith("unshare:"):
        pytest.skip(f"no file system can be mounted here: {done.stderr.strip()}")
    assert (done.returncode, done.stderr) == (0, "hotline: building core\n")
    message, *left = done.stdout.splitlines()
    assert message.startswith(f"cannot keep builds in {tmp_path}/builds: No space left on device. Set HOTLINE_CACHE")
    assert [Path(path).name for path in left] in (
        ["core-1.lock"],
        ["core-1.log", "core-1.lock"],
        ["core-1.lock", "core-1.log"],
    )


def test_a_step_keeps_its_temporary_files_in_its_folder(cache):
    step = "import tempfile; tempfile.mkdtemp()"
    folder = cached_build("core-1", "core", lambda made: run_logged([sys.executable, "-c", step], made, {}, "step"))
    assert [path.name[:3] for path in folder.iterdir() if path.is_dir()] == ["tmp"]


def test_nobody_listens(cache, monkeypatch):
    monkeypatch.setattr("sys.stderr", os.fdopen(os.open("/dev/null", os.O_RDONLY), "w", closefd=False))
    assert (cached_build("core-1", "core", _build) / "whole").exists()


def test_digest_sees_where_parts_end():
    assert digest("ab", "c") != digest("a", "bc") != digest("abc")
    assert digest("ab", "c") == digest("ab", "c")


def test_log_tail(tmp_path):
    (tmp_path / LOG_NAME).write_text("".join(f"line {n}\n" for n in range(30)))
    assert log_tail(tmp_path / LOG_NAME, 2) == "    line 28\n    line 29"
    assert "no log" in log_tail(tmp_path / "none")
