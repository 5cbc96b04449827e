"""Output files: written whole or not at all, written in place if not regular, and checked before the work."""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import stat
import sys
import threading
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from hotline_host.files import check_outputs, is_standard_output, whole_file, write_json, write_npz, write_text
from tests.support.unprivileged import run_unprivileged

WRITERS = {
    "json": lambda path: write_json(path, list(range(9999))),
    "npz": lambda path: write_npz(path, values=np.random.default_rng(1).random(9999)),
    "text": lambda path: write_text(path, "x" * 99_999),
}


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def names() -> list[str]:
    return sorted(str(path) for path in Path().rglob("*"))


def test_a_new_file():
    write_json(Path("a/b.json"), {"loss": float("nan"), "rows": [1, float("inf")]})
    assert json.loads(Path("a/b.json").read_text()) == {"loss": None, "rows": [1, None]}
    assert names() == ["a", "a/b.json"]


def test_a_new_file_is_as_open_as_any(monkeypatch):
    before = os.umask(0o027)
    try:
        write_text(Path("a"), "text")
    finally:
        os.umask(before)
    assert stat.S_IMODE(Path("a").stat().st_mode) == 0o640


def test_an_old_file_keeps_its_permissions():
    Path("a").write_text("old")
    Path("a").chmod(0o600)
    write_text(Path("a"), "new")
    assert Path("a").read_text() == "new" and stat.S_IMODE(Path("a").stat().st_mode) == 0o600


def test_a_failure_leaves_the_old_file_alone():
    Path("a").write_text("old")
    with suppress(ZeroDivisionError), whole_file(Path("a")) as file:
        file.write(b"half")
        file.write(bytes(1 // 0))
    assert Path("a").read_text() == "old" and names() == ["a"]


@pytest.mark.parametrize("old", [True, False], ids=["there", "dangling"])
def test_links_are_followed(old):
    Path("folder").mkdir()
    if old:
        Path("folder/real").write_text("old")
    Path("link").symlink_to("folder/real")
    write_text(Path("link"), "new")
    assert Path("link").is_symlink() and Path("folder/real").read_text() == "new"
    assert names() == ["folder", "folder/real", "link"]


@pytest.mark.parametrize("write", [write_json, lambda path, value: write_npz(path, value=np.array(value))])
def test_a_named_pipe_is_written(write):
    os.mkfifo("pipe")
    read = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_bytes()))
    reader.start()
    write(Path("pipe"), [1, 2])
    reader.join()
    assert read[0].startswith((b"[\n 1", b"PK")) and stat.S_ISFIFO(Path("pipe").stat().st_mode)


def test_a_device_stays_one():
    path = Path("null")
    try:
        os.mknod("null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
        write_text(path, "text")
    except PermissionError:
        path = Path("/dev/null")
    write_text(path, "text")
    assert stat.S_ISCHR(path.stat().st_mode)


@pytest.mark.parametrize("name", ["json", "npz", "text"])
def test_a_full_device_is_named(name):
    if not Path("/dev/full").is_char_device():
        pytest.skip("there is no /dev/full")
    Path("link").symlink_to("/dev/full")
    with pytest.raises(OSError, match="No space left on device: 'link'"):
        WRITERS[name](Path("link"))
    assert Path("/dev/full").is_char_device()


@pytest.mark.parametrize("name", ["json", "npz", "text"])
def test_a_full_disk_leaves_no_part(name):
    """A limit on the size of files stands for a full disk."""
    Path("a").write_text("old")
    limits, action = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large: 'a'"):
            WRITERS[name](Path("a"))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, action)
    assert Path("a").read_text() == "old" and names() == ["a"]


def test_standard_output(tmp_path, capfd):
    write_text(Path("/dev/stdout"), "one\n")
    Path("link").symlink_to("/dev/stdout")
    write_text(Path("link"), "two\n")
    assert capfd.readouterr().out == "one\ntwo\n"
    assert is_standard_output(Path("/dev/stdout")) and not is_standard_output(Path("other"))
    assert not is_standard_output(None)


def test_standard_output_that_is_a_file(capfd):
    """The text goes through the open stream: what is there already stays, and later output follows the text."""
    with open("out", "w") as out:
        before = os.dup(1)
        os.dup2(out.fileno(), 1)
        try:
            os.write(1, b"one\n")
            write_text(Path("/dev/stdout"), "two\n")
            write_text(Path("out"), "three\n")
            os.write(1, b"four\n")
        finally:
            os.dup2(before, 1)
            os.close(before)
    assert Path("out").read_text() == "one\ntwo\nthree\nfour\n"


# Refused before the work


def refused(outputs: dict[str, str], inputs: dict[str, str] | None = None) -> str:
    paths = {name: Path(path) for name, path in outputs.items()}
    try:
        check_outputs(paths, {name: Path(path) for name, path in (inputs or {}).items()})
    except OSError as error:
        return f"{error.filename}: {error.strerror}"
    return "taken"


def test_what_cannot_be_a_file():
    Path("folder").mkdir()
    Path("file").touch()
    Path("loop").symlink_to("loop")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
    assert refused({"--out": "folder"}) == "folder: is a folder; name a file"
    assert refused({"--out": ""}) == ".: is a folder; name a file"
    assert refused({"--out": "socket"}) == "socket: is a socket; name a file"
    assert refused({"--out": "loop"}) == "loop: Too many levels of symbolic links"
    assert refused({"--out": "file/a"}) == "file/a: Not a directory"
    assert refused({"--out": "n" * 300}).endswith("n: File name too long")
    assert refused({"--out": "/proc/a"}) == "/proc: no file can be made here (No such file or directory)"


def test_what_this_user_may_not_write(tmp_path):
    """Root may write, whatever the permission bits say."""
    tmp_path.chmod(0o777)
    for name in ("folder", "open"):
        Path(name).mkdir()
    Path("open").chmod(0o777)
    Path("open/mine").touch()
    Path("open/mine").chmod(0o444)
    Path("folder").chmod(0o555)
    code = "import sys; from pathlib import Path; from hotline_host.files import check_outputs\n\
try: check_outputs({'--out': Path(sys.argv[1])})\nexcept OSError as error: print(error.filename, error.strerror)"
    env = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}

    def answer(path: str) -> str:
        done = run_unprivileged([sys.executable, "-c", code, path], env)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert answer("open/mine") == "open/mine is read-only; name another file"
    assert answer("folder/new") == f"{tmp_path}/folder no file can be made here (Permission denied)"
    assert answer("open/new") == ""


def test_one_file_for_two_options():
    Path("a").touch()
    Path("link").symlink_to("a")
    os.link("a", "hard")
    Path("later").symlink_to("b")
    for other in ("a", str(Path("a").absolute()), "link", "hard"):
        assert refused({"--json": "a", "--out": other}) == f"{other}: is both --json and --out; name two files"
        assert refused({"--out": other}, {"--data": "a"}) == f"{other}: is both --data and --out; name two files"
    assert refused({"--json": "later", "--out": "b"}) == "b: is both --json and --out; name two files"
    check_outputs({"--json": Path("a"), "--out": Path("b"), "--report": None}, {"--data": None})
    check_outputs({"--json": Path("/dev/null"), "--out": Path("/dev/null")})


def test_the_check_leaves_nothing_but_the_folder():
    check_outputs({"--out": Path("x/y/a")})
    assert names() == ["x", "x/y"]
