"""What commands do if their standard output, standard error or output files are not what they usually are."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path

import numpy as np
import pytest

from tests.support.command import COMMAND, environment, run

MODEL = ("--preset", "tiny", "--backend", "model")
full = pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="there is no /dev/full")


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def split(tmp_path) -> tuple[str, ...]:
    """A split of a log whose name is not only ASCII and looks like rich's markup."""
    rng = np.random.default_rng(3)
    (tmp_path / "log[").mkdir()
    np.savez(tmp_path / "log[" / "red]ö:x:.npz", sparse=rng.integers(0, 20, (600, 2)))
    return ("split", "--data", "npz:log[/red]ö:x:.npz", *MODEL)


def shell(command: str, *arguments: str, **variables: object) -> subprocess.CompletedProcess[str]:
    """Runs a shell command, in which "$@" is the `hotline` command."""
    return subprocess.run(
        ["bash", "-c", command, "bash", *COMMAND, *arguments], env=environment(**variables), capture_output=True,
        text=True, timeout=300,
    )  # fmt: skip


@full
@pytest.mark.parametrize("arguments", [("registers",), ("registers", "--format", "svd"), ("split", "--help"), None])
def test_a_full_standard_output(arguments, split):
    done = shell('"$@" > /dev/full', *(arguments or split))
    assert (done.returncode, done.stderr) == (2, "hotline: standard output: No space left on device\n")


@full
def test_a_full_standard_error(split):
    assert shell('"$@" 2> /dev/full', *split).returncode == 0
    assert shell('"$@" 2> /dev/full', "split", "--data", "npz:nowhere").returncode == 2


def test_a_closed_standard_output(split):
    done = shell('"$@" --json j.json >&-', *split)
    assert (done.returncode, done.stderr) == (2, "hotline: standard output: Bad file descriptor\n")
    assert json.loads(Path("j.json").read_text())["samples"] == 480, "the figures are where they were wanted"


def test_a_closed_standard_error(split):
    done = shell('"$@" 2>&-', *split)
    assert done.returncode == 0 and "popular samples" in done.stdout
    assert shell('"$@" 2>&-', "split", "--data", "npz:nowhere").returncode == 2
    assert shell('"$@" <&- >&- 2>&-', *split).returncode == 2


@pytest.mark.parametrize("arguments", [("registers",), ("registers", "--format", "svd"), ("split", "--help")])
def test_a_broken_pipe(arguments):
    """The command ends silently, like a program that SIGPIPE ended. The pipe's other end is closed from the start."""
    done = shell('(sleep 0.5; "$@"; echo $? >&2) | true', *arguments)
    assert done.stderr == "141\n"


def test_a_terminal_that_is_not_utf8(split):
    done = shell('"$@"', *split, PYTHONIOENCODING="ascii")
    assert done.returncode == 0 and done.stdout.startswith("npz:red]\\xf6:x:.npz: 4 of 40 rows hot"), done.stderr
    done = shell('"$@"', "split", "--data", "npz:[/ö]", PYTHONIOENCODING="ascii", LANG="C")
    assert done.returncode == 2 and done.stderr.startswith("hotline: [/\\xf6]: no such file")


def test_brackets_are_no_markup(split):
    code, output, errors = run(*split)
    assert (code, errors) == (0, "") and output.startswith("npz:red]ö:x:.npz: 4 of 40 rows hot")


@pytest.mark.parametrize("columns", [1, 20, "x"])
def test_a_narrow_terminal_loses_no_figures(split, columns):
    _, output, _ = run(*split, env=environment(COLUMNS=columns))
    assert "480" in output and "960" in output and "…" not in output
    _, output, _ = run("registers", env=environment(COLUMNS=columns))
    assert "0x048" in output and "HOT_ROWS" in output and "…" not in output


# Output files


def test_figures_on_standard_output_alone(split):
    """The table goes elsewhere, so that another program can read the figures."""
    code, output, errors = run(*split, "--json", "/dev/stdout")
    assert code == 0 and json.loads(output)["samples"] == 480 and "popular samples" in errors


def test_a_device_as_output(split):
    for option in ("--json", "--out"):
        assert run(*split, option, "/dev/null")[0] == 0
        assert stat.S_ISCHR(os.stat("/dev/null").st_mode)


@full
def test_a_full_disk_keeps_the_figures(split):
    code, output, errors = run(*split, "--json", "/dev/full", "--out", "out.npz")
    assert code == 2 and json.loads(output)["samples"] == 480
    assert errors == "hotline: /dev/full: No space left on device; the figures are on standard output\n"
    assert Path("out.npz").exists(), "what can be written is"
    code, output, errors = run(*split, "--json", "j.json", "--out", "/dev/full")
    assert (code, output, errors) == (2, "", "hotline: /dev/full: No space left on device\n")
    assert json.loads(Path("j.json").read_text())["samples"] == 480


def test_own_input_and_one_file_for_two_options(split):
    log = Path("log[/red]ö:x:.npz")
    before = log.read_bytes()
    Path("link").symlink_to(log)
    for name in (log, log.absolute(), "link"):
        code, _, errors = run(*split, "--out", name)
        assert (code, errors) == (2, f"hotline: {name}: is both --data and --out; name two files\n")
    code, _, errors = run(*split, "--json", "a", "--out", Path("a").absolute())
    assert code == 2 and "is both --json and --out" in errors
    assert log.read_bytes() == before and not Path("a").exists()


def test_generate_writes_through_links():
    Path("g").mkdir()
    Path("g/hotline_tiny_core.v").symlink_to("../core.v")
    Path("g/hotline_tiny_core.json").symlink_to("/dev/null")
    core_alone = ("axi_bits=0", "working_rows=0", "read_tags=0", "read_beats=0")
    sets = [word for setting in core_alone for word in ("--set", setting)]
    code, _, errors = run("generate", "--preset", "tiny", "--prefix", "hotline_tiny", "--out", "g", *sets)
    assert (code, errors) == (0, "")
    assert "module hotline_tiny_core(" in Path("core.v").read_text() and Path("g/hotline_tiny_core.json").is_symlink()
    Path("file").touch()
    assert (
        run("generate", "--preset", "tiny", "--out", "file")[2]
        == "hotline: file/hotline_tiny_core.v: Not a directory\n"
    )
