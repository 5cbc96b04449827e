"""The `hotline` command: what it prints and writes, and how every expected error ends."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner, Result

import hotline_hw
from hotline_host.commands.main import app
from hotline_host.splitters.replayed import ReplayedSplitter
from hotline_hw.export import regdoc
from hotline_hw.export.c_header import c_header
from hotline_hw.export.package import package_names
from hotline_hw.export.systemrdl import systemrdl
from hotline_hw.export.systemverilog import systemverilog_package
from hotline_hw.spec.params import preset

ROOT = Path(hotline_hw.__file__).parents[1]
MODEL = ("--preset", "tiny", "--backend", "model")
GOOD_LINE = "\t".join(["1", *["3"] * 13, *["0a1b2c3d"] * 26])


@pytest.fixture(autouse=True)
def in_an_empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def data(tmp_path) -> str:
    """A log of 600 samples, two tables of 20 rows."""
    rng = np.random.default_rng(3)
    np.savez(tmp_path / "log.npz", sparse=rng.integers(0, 20, (600, 2)), label=rng.random(600) < 0.5)
    return f"npz:{tmp_path / 'log.npz'}"


def hotline(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def refused(*arguments: object) -> str:
    """Returns the one line with which the command ends on an expected error."""
    result = hotline(*arguments)
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    assert result.stderr.startswith("hotline: ") and result.stderr.count("\n") == 1, result.stderr
    assert list(Path().glob("**/*.json")) == [], "nothing is written"
    return result.stderr


# What works


def test_cosim(data):
    run = hotline(
        "cosim", "--data", data, *MODEL, "--hot-rows", 30, "--learn-share", 0.3, "--batch-size", 50, "--steps", 4,
        "--optimizer", "sgd", "--device", "cpu", "--baseline", "--json", "out/cosim.json", "--report", "out",
        "--set", "ways=8", "--set", "max_samples=0x80", "--seed", 5, "--samples", 500, "--dtype", "float64",
        "--rate", 0.1, "--eps", 0.5, "--model", "small", "--dimension", 4,
        "--relearn-share", 0.5, "--select-every", 2, "--move-limit", 3,
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    assert "popular samples" in run.stdout and run.stderr == "", "no progress where there is no terminal"
    figures = json.loads(Path("out/cosim.json").read_text())
    assert figures["geometry"]["ways"] == 8 and figures["geometry"]["max_samples"] == 128
    assert figures["preset"] == "tiny-custom" and figures["backend"] == "model"
    assert (figures["steps"], figures["samples"], figures["learned_samples"]) == (4, 200, 150)
    assert [figures[name] for name in ("relearn_share", "select_every", "move_limit")] == [0.5, 2, 3]
    assert figures["moved_rows"] == sum(figures["history"]["moved"]) <= 3 and figures["bag_hit_share"] > 0
    assert (figures["optimizer"], figures["rate"], figures["seed"], figures["dimension"]) == ("sgd", 0.1, 5, 4)
    assert figures["eps"] == 0.5
    assert figures["dtype"] == "float64" and figures["max_loss_difference"] < 1e-12
    assert figures["seconds"].keys() >= {"load", "train", "split", "gather", "baseline"}
    assert sorted(path.name for path in Path("out").iterdir()) == ["cosim.json", "cosim.png"]


def test_record(data):
    run = hotline(
        "record", "--data", data, *MODEL, "--hot-rows", 12, "--learn-share", 0.5, "--batch-size", 50,
        "--mini-batches", 3, "--out", "r.npz",
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    assert run.stdout == "r.npz: 3 mini-batches, samples 300 to 450 of npz:log.npz, 12 rows hot\n"
    assert len(ReplayedSplitter(Path("r.npz"))) == 3
    assert "mini-batches is 0; it must be at least 1" in refused(
        "record", "--data", data, *MODEL, "--mini-batches", 0, "--out", "other.npz"
    )
    assert "row bytes is 24; it must be a multiple of 16" in refused(
        "record", "--data", data, *MODEL, "--row-bytes", 24, "--out", "other.npz"
    )
    assert not Path("other.npz").exists()


def test_split(data):
    run = hotline("split", "--data", data, *MODEL, "--learn-share", 0.5, "--out", "split.npz", "--json", "split.json")
    assert run.exit_code == 0, run.output
    figures = json.loads(Path("split.json").read_text())
    assert figures["samples"] == 300 and figures["lookups"] == 600
    assert figures["hot_rows"] == 4, "a tenth of 40 rows"
    with np.load("split.npz") as arrays:
        assert arrays["popular"].shape == (300,) and arrays["popular"].dtype == bool
        assert arrays["popular"].mean() == figures["popular_share"]
        np.testing.assert_array_equal(arrays["offsets"], np.arange(0, 601, 2))
        np.testing.assert_array_equal(arrays["popular"], (arrays["slots"].reshape(-1, 2) >= 0).all(1))
        assert (arrays["slots"] >= 0).mean() == figures["lookup_hit_share"] > 0


def test_skip_bad():
    Path("day").write_text("\n".join([*[GOOD_LINE] * 9, "damaged", GOOD_LINE]) + "\n")
    run = hotline("split", "--data", "criteo:day", *MODEL, "--skip-bad", "--json", "split.json")
    assert run.exit_code == 0, run.output
    figures = json.loads(Path("split.json").read_text())
    assert figures["skipped_lines"] == 1 and figures["log_samples"] == 10


def test_generate():
    run = hotline("generate", "--preset", "tiny", "--out", "rtl/tiny", "--set", "sets=4")
    assert run.exit_code == 0, run.output
    tops = ("hotline_tiny_custom_core", "hotline_tiny_custom_device")
    files = package_names(preset("tiny").override({"sets": 4}))
    assert {f"{top}.{kind}" for top in tops for kind in ("v", "json")} < set(files)
    assert run.stdout.splitlines() == [f"rtl/tiny/{name}" for name in files]
    for top in tops:
        assert f"module {top}(" in Path(f"rtl/tiny/{top}.v").read_text()
        assert json.loads(Path(f"rtl/tiny/{top}.json").read_text())["parameters"]["sets"] == 4


def test_generate_without_a_manager():
    settings = ("axi_bits=0", "working_rows=0", "read_tags=0", "read_beats=0")
    sets = [f"--set={one}" for one in settings]
    run = hotline("generate", "--preset", "tiny", "--output", "rtl/core", "--prefix", "mine", *sets)
    assert run.exit_code == 0, run.output
    assert [path.name for path in sorted(Path("rtl/core").iterdir())] == [
        "component.xml", "mine.core", "mine.lpf", "mine.sdc", "mine.xdc", "mine_axil_crossing.v",
        "mine_axil_crossing.xdc", "mine_core.json", "mine_core.v", "mine_tb.v", "waivers.vlt",
    ]  # fmt: skip
    run = hotline("generate", "--preset", "tiny", "--out", "rtl/core", "--prefix", "a b")
    assert run.exit_code == 2 and "prefix 'a b' is no Verilog identifier" in run.stderr


def test_probe():
    run = hotline("probe", "--preset", "tiny", "--backend", "model")
    assert run.exit_code == 0, run.output
    assert "DMA_CONTROL" in run.stdout and "0x484F544C" in run.stdout and "WINDOW_7_LO" not in run.stdout
    assert "WINDOW_7_LO" in hotline("probe", "--preset", "tiny", "--all").stdout


def test_registers():
    assert hotline("registers", "--format", "markdown").stdout == regdoc.markdown()
    assert hotline("registers", "--format", "c").stdout == c_header()
    assert hotline("registers", "--format", "systemverilog").stdout == systemverilog_package()
    assert hotline("registers", "--format", "systemrdl").stdout == systemrdl()
    assert hotline("registers", "--format", "svd").stdout == regdoc.svd()
    assert hotline("registers", "--format", "descriptors").stdout == regdoc.descriptors_markdown()
    assert json.loads(hotline("registers", "--format", "json").stdout) == regdoc.register_rows()
    table = hotline("registers").stdout
    assert "0x048" in table and "HOT_ROWS" in table


def test_registers_as_pages():
    pytest.importorskip("peakrdl_html")
    run = hotline("registers", "--format", "html", "--out", "pages")
    assert run.exit_code == 0 and Path(run.stdout.strip()).is_file()
    run = hotline("registers", "--format", "html")
    assert run.exit_code == 2 and "go together" in run.stderr


def test_the_environment_is_set_before_torch_is_loaded():
    code = "import os, sys; from hotline_host.commands import entry, main; assert 'torch' not in sys.modules; \
        main.app = lambda: print(os.environ['OMP_WAIT_POLICY']); entry.main()"
    environment = {key: value for key, value in os.environ.items() if key != "OMP_WAIT_POLICY"}
    assert run_python(code, environment).stdout.strip() == "passive"
    assert run_python(code, environment | {"OMP_WAIT_POLICY": "active"}).stdout.strip() == "active"


def run_python(code: str, environment: dict[str, str]) -> subprocess.CompletedProcess:
    environment = environment | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)


# What does not


@pytest.mark.parametrize("command", ["cosim", "split"])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "huge"], "unknown preset 'huge'; the presets are tiny, small, edge, kaggle"),
        (["--backend", "fpga"], "unknown backend 'fpga'; the backends are model, verilated"),
        (["--set", "ways=1"], "ways=1 breaks the rule: 2 <= ways <= 64"),
        (["--set", "sets=12"], "sets=12 breaks the rule: a power of two"),
        (["--set", "lines=12"], "unknown parameter 'lines'; the parameters are lanes, banks"),
        (["--set", "ways"], "--set ways: write --set NAME=NUMBER, such as --set ways=8"),
        (["--set", "ways=many"], "--set ways=many: write --set ways=NUMBER"),
        (["--hot-rows", "65"], "65 hot rows are beyond this accelerator's capacity: its tracker has 64 entries"),
        (["--hot-rows", "-3"], "hot rows is -3; it must be 0 or more"),
        (["--learn-share", "1.5"], "learn share is 1.5; it must be at least 0 and below 1"),
        (["--batch-size", "0"], "batch size is 0; it must be at least 1"),
        (["--relearn-share", "1.5"], "relearn share is 1.5; it must be 0 to 1"),
        (["--select-every", "0"], "select every is 0; it must be at least 1"),
        (["--move-limit", "-1"], "move limit is -1; it must be 0 to 4294967295"),
        (["--set", "entries_per_hot_row=1"], "entries_per_hot_row=1 breaks the rule: 2 <= entries_per_hot_row <= 8"),
        (
            ["--batch-size", "500", "--set", "max_samples=100"],
            "sample 100 being the first beyond the accelerator's max_s",
        ),
        (["--set", "row_bits=4"], "of table 0; the accelerator's key ends at row 15 (4 bits) of table 255 (8 bits)"),
        (["--samples", "0"], "samples=0; take at least 1"),
        (["--data", "movielens"], "there is no log 'movielens'; there are ml-100k"),
        (["--data", "npz:nowhere.npz"], "nowhere.npz: no such file"),
        (["--data", "criteo:nowhere"], "nowhere: no such file"),
        (["--data", "npz"], "'npz' lacks a file; write npz:PATH"),
        (["--seed", str(10**20)], "seed is 100000000000000000000; it must be 0 to 4294967295"),
        (["--seed", "-1"], "seed is -1; it must be 0 to 4294967295"),
        (["--json", "."], ".: is a folder; name a file"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input(command, options, message, data):
    assert message in refused(command, "--data", data, *MODEL, *options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--steps", "-1"], "steps is -1"),
        (["--optimizer", "adam"], "optimizer is 'adam'; it must be one of sgd, adagrad"),
        (["--rate", "0"], "rate is 0.0; it must be a finite number above 0"),
        (["--rate", "inf"], "rate is inf; it must be a finite number above 0"),
        (["--eps", "nan"], "eps is nan; it must be a finite number above 0"),
        (["--autocast", "--dtype", "float64"], "dtype is float64 with autocast; with autocast it must be float32"),
        (["--dtype", "half"], "dtype is 'half'; it must be one of float32, float64"),
        (["--model", "huge"], "model is 'huge'; it must be one of small, kaggle"),
        (["--dimension", "10"], "dimension is 10, which makes rows of 40 bytes in float32"),
        (["--memory", "floppy"], "memory is 'floppy'; it must be one of ideal, pcie3-x16, pcie4-x16"),
        (["--dimension", "0"], "dimension holds the width 0; every width must be at least 1"),
        (["--device", "cpu:7"], "device is 'cpu:7'; it must be cpu, cuda or cuda:NUMBER"),
        (["--device", "nonsense"], "device is 'nonsense'; it must be cpu, cuda or cuda:NUMBER"),
        (["--device", "cuda:-1"], "device is 'cuda:-1'; it must be cpu, cuda or cuda:NUMBER"),
        (["--pipelines", "hotline,fast"], "pipelines is 'hotline,fast'; it must hold one or more of hotline, "),
        (["--device", "tpu9"], "device is 'tpu9'; it must be cpu, cuda or cuda:NUMBER"),
        (["--device", "cuda:77"], "device cuda:77 is not available"),
        (["--learn-share", "0.95"], "of 600 samples 570 are learned from and 60 kept for the test"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_to_cosim(options, message, data):
    assert message in refused("cosim", "--data", data, *MODEL, "--json", "cosim.json", *options)


def test_a_ragged_npz():
    np.savez("ragged.npz", indices=np.arange(5), lengths=np.array([[1, 2], [1, 2]]))
    assert "ragged.npz: lengths add up to 6, but indices holds 5" in refused(
        "cosim", "--data", "npz:ragged.npz", *MODEL
    )


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (
            {"indices": np.zeros(0, int), "lengths": np.full((4, 1), 2**62)},
            "lengths add up to 18446744073709551616, but",
        ),
        ({"sparse": np.zeros((64, 3), int), "dense": np.full((64, 2), 1e300)}, "dense[0, 0] is 1e+300; float32 cannot"),
        ({"indices": np.zeros(0, int), "lengths": np.zeros((64, 2), int)}, "all bags of its 64 samples are empty"),
    ],
)
@pytest.mark.parametrize("command", ["split", "cosim"])
def test_an_npz_that_cannot_be_used(command, arrays, message):
    np.savez("log.npz", **arrays)
    assert f"log.npz: {message}" in refused(command, "--data", "npz:log.npz", *MODEL)


def test_a_byte_order_mark_and_a_damaged_line():
    Path("day").write_text("\n".join(["\ufeff" + GOOD_LINE, *[GOOD_LINE] * 3, "x"]) + "\n")
    run = hotline("split", "--data", "criteo:day", *MODEL, "--skip-bad", "--json", "split.json")
    assert run.exit_code == 0, run.output
    figures = json.loads(Path("split.json").read_text())
    assert figures["skipped_lines"] == 1 and figures["log_samples"] == 4


def test_a_test_set_is_named():
    Path("test.txt").write_text(GOOD_LINE.partition("\t")[2] + "\n")
    message = refused("split", "--data", "criteo:test.txt", *MODEL)
    assert "test.txt, line 1: 39 fields" in message and "name a log with its labels" in message


def test_a_damaged_line_is_named():
    Path("day").write_text("\n".join([GOOD_LINE, GOOD_LINE, GOOD_LINE.replace("0a1b2c3d", "xyz", 1)]) + "\n")
    message = refused("split", "--data", "criteo:day", *MODEL)
    assert "day, line 3" in message and "'xyz'" in message


def test_a_folder_that_cannot_be_made(data):
    Path("file").write_text("")
    assert "file" in refused("split", "--data", data, *MODEL, "--out", "file/split.npz")


def test_wrong_input_to_the_other_commands():
    formats = "table, html, markdown, c, systemverilog, systemrdl, svd, json, descriptors"
    assert f"format is 'pdf'; it must be one of {formats}" in refused("registers", "--format", "pdf")
    assert "unknown preset 'huge'" in refused("generate", "--preset", "huge", "--out", "rtl")
    assert not Path("rtl").exists()


def test_a_missing_tool_of_a_simulator_says_what_to_do(data, monkeypatch):
    monkeypatch.setenv("CXX", "no-such-compiler")
    result = hotline("split", "--data", data, "--preset", "tiny", "--backend", "verilated")
    assert result.exit_code == 2 and result.stdout == ""
    assert "CXX=no-such-compiler: no-such-compiler is not on PATH. Unset it, or set it" in result.stderr


def test_a_missing_package_says_how_to_get_it(data, monkeypatch):
    monkeypatch.delitem(sys.modules, "hotline_host.experiments.cosim", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("hotline_host.") and name.count(".") == 1]:
        if name not in ("hotline_host.commands", "hotline_host.data", "hotline_host.files"):
            monkeypatch.setattr(name, sys.modules[name])  # what is imported anew does not stay the package's
            monkeypatch.delitem(sys.modules, name)
    # `None` in sys.modules raises ModuleNotFoundError, like a package that is not installed.
    assert "needs the Python package torch. Install it: pip install 'hotline[train]'" in refused(
        "cosim", "--data", data, *MODEL
    )


def test_tables_that_no_memory_holds(data):
    np.savez("big.npz", sparse=np.array([[2**32 - 1, 1]] * 20), label=np.arange(20) % 2)
    message = refused("cosim", "--data", "npz:big.npz", *MODEL, "--batch-size", 4, "--learn-share", 0)
    assert "tables of 4,294,967,298 rows, dimension 16, 4 bytes an element, need 292,057,776,264 bytes" in message
    assert hotline("split", "--data", "npz:big.npz", *MODEL, "--learn-share", 0).exit_code == 0, "it needs no tables"


def test_a_log_of_empty_bags(data):
    np.savez("empty.npz", indices=np.empty(0, np.int64), lengths=np.zeros((20, 2), np.int64))
    for command in ("cosim", "split"):
        assert "all bags of its 20 samples are empty" in refused(command, "--data", "npz:empty.npz", *MODEL)


# Ctrl-C and other signals

MEMORY = re.compile(r"(/\S*/hotline-memory-[^/]+)/")


@pytest.mark.parametrize(
    ("backend", "number", "word"),
    [
        ("model", signal.SIGTERM, "terminated"),
        ("model", signal.SIGHUP, "hung up"),
        ("verilated", signal.SIGINT, "interrupted"),
    ],
)
def test_a_signal_in_the_middle_of_training(data, tmp_path, backend, number, word):
    """Progress is drawn on a terminal. So the test sees there when training is under way."""
    terminal, end = pty.openpty()
    arguments = [
        "cosim", "--data", data, "--preset", "tiny", "--backend", backend, "--steps", "100000000", "--model", "small",
        "--hot-rows", "20", "--batch-size", "50", "--json", "out/cosim.json", "--report", "out",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path), "TERM": "xterm"}
    process = subprocess.Popen(
        [sys.executable, "-c", "from hotline_host.commands.entry import main; main()", *arguments],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=end, text=True, env=environment,
    )  # fmt: skip
    os.close(end)
    try:
        seen = read_until(terminal, "training hotline, steps")
        shared = {Path(folder) for folder in MEMORY.findall(Path(f"/proc/{process.pid}/maps").read_text())}
        process.send_signal(number)
        seen = read_until(terminal, "no result was written")
        output, _ = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
        os.close(terminal)
    assert process.returncode == 128 + number
    assert shared and not any(folder.exists() for folder in shared)
    assert f"hotline: {word} while training hotline, steps: " in seen and "of 100000000 done" in seen
    assert output == "" and "Traceback" not in seen
    assert list((tmp_path / "out").iterdir()) == []


def read_until(terminal: int, text: str) -> str:
    """Returns what the terminal shows, up to `text`."""
    seen = ""
    end = time.monotonic() + 120
    while text not in seen:
        assert time.monotonic() < end, seen
        try:
            read = os.read(terminal, 65536).decode(errors="replace")
        except OSError:  # the other end was closed
            read = ""
        assert read, f"ended without {text!r}: {seen}"
        seen += read
    return seen
