"""Where files are kept that can be made again."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path

import platformdirs
import pytest

from hotline_device.cache_folder import cache_folder, can_write, make_folder, temporary_cache


@pytest.fixture(autouse=True)
def temporary(tmp_path, monkeypatch) -> Path:
    """The folder of temporary files. The user's cache folder cannot be written."""
    (tmp_path / "temporary").mkdir()
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.delenv("HOTLINE_CACHE", raising=False)
    return tmp_path / "temporary"


def test_what_the_user_says_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("HOTLINE_CACHE", str(tmp_path / "chosen"))
    assert cache_folder() == tmp_path / "chosen"


def test_a_home_in_it_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HOTLINE_CACHE", "~/chosen")
    assert cache_folder() == tmp_path / "chosen"


def test_then_the_users_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache" / "hotline"


def test_the_users_cache_folder_without_platformdirs(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "platformdirs", None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert cache_folder() == tmp_path / "cache" / "hotline"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    assert cache_folder() == tmp_path / "home" / ".cache" / "hotline"


def test_then_a_temporary_folder_of_his_own(temporary):
    assert cache_folder() == temporary / f"hotline-{os.getuid()}"
    assert stat.S_IMODE(cache_folder().stat().st_mode) == 0o700


@pytest.mark.parametrize("error", [None, RuntimeError("no home")], ids=["as written", "refused"])
def test_a_user_without_a_home(temporary, monkeypatch, error):
    """The version of platformdirs decides what it answers for such a user."""

    def answer(_: str) -> Path:
        if error:
            raise error
        return Path("~/.cache/hotline")

    monkeypatch.setattr(platformdirs, "user_cache_path", answer)
    assert cache_folder() == temporary / f"hotline-{os.getuid()}"
    assert not Path("~").exists()


def test_a_folder_that_others_prepared_is_not_used(temporary, tmp_path):
    (temporary / f"hotline-{os.getuid()}").symlink_to(tmp_path)
    assert temporary_cache() is None and cache_folder() is None


def test_a_folder_that_others_can_write_is_not_used(temporary):
    (temporary / f"hotline-{os.getuid()}").mkdir()
    (temporary / f"hotline-{os.getuid()}").chmod(0o777)
    assert temporary_cache() is None


def test_no_folder_for_temporary_files(monkeypatch):
    def none() -> str:
        raise FileNotFoundError(2, "No usable temporary directory found")

    monkeypatch.setattr("tempfile.gettempdir", none)
    assert cache_folder() is None


def test_writing_is_tried(tmp_path):
    assert can_write(tmp_path / "a" / "b") and (tmp_path / "a" / "b").is_dir()
    assert list((tmp_path / "a" / "b").iterdir()) == []
    assert not can_write(tmp_path / "file" / "c")
    assert not can_write(Path("/proc/hotline"))


def test_a_folder_is_as_open_as_the_one_around_it(tmp_path):
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o1777)
    make_folder(tmp_path / "shared" / "builds")
    assert stat.S_IMODE((tmp_path / "shared" / "builds").stat().st_mode) == 0o1777
