"""Compiled functions work wherever they are. They are kept if there is a place for them."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.unprivileged import run_unprivileged

SOURCE = """
from hotline_device.compiled import compiled

@compiled()
def double(number):
    return number + number

if __name__ == "__main__":
    print(double(21), sum(double.stats.cache_hits.values()))
"""


@pytest.fixture
def module(tmp_path) -> Path:
    (tmp_path / "sources").mkdir()
    (tmp_path / "sources" / "module.py").write_text(SOURCE)
    return tmp_path / "sources" / "module.py"


def environment(**variables: object) -> dict[str, str]:
    ours = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_", "HOTLINE_", "XDG_"))}
    return ours | {"PYTHONPATH": os.pathsep.join(sys.path)} | {name: str(value) for name, value in variables.items()}


def run(module: Path, **variables: object) -> str:
    command = [sys.executable, str(module)]
    done = subprocess.run(command, env=environment(**variables), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.strip()


def test_compiled_once(module, tmp_path):
    folder = tmp_path / "cache"
    assert run(module, HOTLINE_CACHE=folder) == "42 0"
    assert run(module, HOTLINE_CACHE=folder) == "42 1"
    assert len(list(folder.glob(f"numba-{os.getuid()}/sources_*/*.nbi"))) == 1
    assert not (module.parent / "__pycache__").exists()


def test_the_users_own_setting_stays(module, tmp_path):
    assert run(module, NUMBA_CACHE_DIR=tmp_path / "numba", HOTLINE_CACHE=tmp_path / "cache") == "42 0"
    assert list((tmp_path / "numba").glob("sources_*/*.nbi")) and not (tmp_path / "cache").exists()


@pytest.mark.long
@pytest.mark.parametrize(("kind", "damage"), [("nbi", "empty"), ("nbi", "noise"), ("nbc", "cut")])
def test_a_damaged_file_is_compiled_again(module, tmp_path, kind, damage):
    folder = tmp_path / "cache"
    run(module, HOTLINE_CACHE=folder)
    (file,) = folder.glob(f"**/*.{kind}")
    whole = file.read_bytes()
    file.write_bytes({"empty": b"", "cut": whole[: len(whole) // 2], "noise": b"noise"}[damage])
    assert run(module, HOTLINE_CACHE=folder) == "42 0"
    assert run(module, HOTLINE_CACHE=folder) == "42 1"


def test_a_full_disk(module, tmp_path):
    """Numba finds the folder but cannot write what it compiled. Here a folder has its file's name."""
    folder = tmp_path / "cache"
    run(module, HOTLINE_CACHE=folder)
    for file in folder.glob("**/*.nb?"):
        file.unlink()
        file.mkdir()
    assert run(module, HOTLINE_CACHE=folder) == "42 0"


def test_no_home_and_sources_that_cannot_be_written(module, tmp_path):
    (tmp_path / "temporary").mkdir()
    (tmp_path / "temporary").chmod(0o1777)
    env = environment(HOME="/nonexistent", TMPDIR=tmp_path / "temporary")
    for hits in (0, 1):
        done = run_unprivileged([sys.executable, str(module)], env)
        assert (done.returncode, done.stdout.strip(), done.stderr) == (0, f"42 {hits}", "")


def test_no_place_at_all(module):
    """The function is compiled every time."""
    env = environment(HOME="/nonexistent", HOTLINE_CACHE="/nonexistent")
    code = (
        "import tempfile, runpy, sys; tempfile.tempdir = '/nonexistent'; runpy.run_path(sys.argv[1], None, '__main__')"
    )
    done = run_unprivileged([sys.executable, "-c", code, str(module)], env)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "42 0", "")
