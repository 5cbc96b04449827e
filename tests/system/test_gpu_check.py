"""scripts/gpu_check.sh, end to end on the CPU, far smaller, where no HDL package is installed, and no platformdirs."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hotline_hw

ROOT = Path(hotline_hw.__file__).parents[1]
MISSING = ("amaranth", "pyosys", "cocotb", "cocotb_tools", "cocotb_bus", "cocotbext", "platformdirs")

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture(scope="module")
def environment(tmp_path_factory) -> dict[str, str]:
    """An environment in which Python does not find what that machine lacks."""
    folder = tmp_path_factory.mktemp("site")
    (folder / "sitecustomize.py").write_text(
        f"""
import sys

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {MISSING}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Missing())
"""
    )
    return os.environ | {"PYTHON": sys.executable, "PYTHONPATH": str(folder), "HOTLINE_GPU_CHECK_DEVICE": "cpu"}


def script(name: str, *arguments: object, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [str(ROOT / "scripts" / name), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)


def test_the_packages_are_missing_there(environment):
    for name in MISSING:
        run = subprocess.run([sys.executable, "-c", f"import {name}"], env=environment, capture_output=True, text=True)
        assert run.returncode == 1 and f"No module named '{name}'" in run.stderr


@pytest.mark.slow
def test_everything_runs(environment, tmp_path):
    recordings = tmp_path / "recordings"
    made = script("gpu_recordings.sh", recordings, environment=environment | {"BACKEND": "model"})
    assert made.returncode == 0 and (recordings / "kaggle-64.npz").exists(), made.stderr
    out = tmp_path / "out"
    run = script("gpu_check.sh", out, environment=environment | {"HOTLINE_RECORDINGS": str(recordings)})
    parts = (out / "parts.txt").read_text()
    logs = "\n".join(path.read_text() for path in out.glob("*.log"))
    names = [line.partition(":")[0] for line in parts.splitlines()]
    assert names == ["machine", "tests", "kaggle-2048", "terabyte-2048"], run.stdout
    assert all(": done in " in line for line in parts.splitlines()), parts + logs
    kaggle, terabyte = (json.loads((out / f"{name}.json").read_text()) for name in names[2:])
    assert kaggle["finished"] and kaggle["accelerator"] == f"replay:{recordings}/kaggle-64.npz"
    assert terabyte["finished"] and terabyte["accelerator"] == "model"
    assert {"ordinary", "resident", "hotline"} <= kaggle["rivals"].keys()
    assert kaggle["skipped"].keys() <= {"fbgemm"} and list(terabyte["rivals"]) == ["ordinary", "hotline"]
    assert (out / "bench.png").read_bytes().startswith(b"\x89PNG")
    assert json.loads((out / "trace.json").read_text())["traceEvents"] and (out / "profile.txt").stat().st_size
    table = (out / "table.txt").read_text()
    assert run.stdout.endswith(table) and "x ordinary" in table
    assert sum(line.split()[2] == "hotline" for line in table.splitlines() if len(line.split()) > 3) == 2


def test_what_is_cut_short_still_tells(environment, tmp_path):
    run = script("gpu_check.sh", tmp_path, environment=environment | {"HOTLINE_GPU_CHECK_SECONDS": "6"})
    assert "no time was left" in run.stdout or "cut short" in run.stdout, run.stdout
    assert "x ordinary" in run.stdout and run.returncode == 0


def test_a_folder_must_be_named(environment):
    run = script("gpu_check.sh", environment=environment)
    assert run.returncode == 2 and run.stderr == "usage: scripts/gpu_check.sh OUT\n"
