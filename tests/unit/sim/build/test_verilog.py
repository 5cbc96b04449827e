"""A build is of the sources that its name was made of, whoever edits them in the meantime."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hotline_hw
from hotline_device.device import DeviceError
from hotline_hw.spec.params import Geometry, GeometryError
from hotline_sim.build import verilog
from hotline_sim.build.cache import builds_folder
from hotline_sim.build.sources import digest_sources, read_sources, write_sources
from hotline_sim.build.verilog import DEVICE_TOP, core_verilog
from hotline_sim.memory import library as memory
from tests.support.tools import needs

ROOT = Path(hotline_hw.__file__).parents[1]
SMALL = Geometry(
    name="small-as-can-be", lanes=2, banks=2, sets=2, ways=2, entries_per_hot_row=2, counter_bits=2, table_bits=1,
    row_bits=5, bank_ports=1, queue_depth=4, beat_depth=4,
)  # fmt: skip


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("HOTLINE_CACHE", str(tmp_path / "cache"))


# In a process of its own, with a copy of the package: generates, maybe after the sources were edited.
ASK = f"""
import sys
import hotline_hw.export.generate  # loads the hardware
from pathlib import Path
from hotline_hw.spec.params import Geometry
from hotline_sim.build.verilog import core_verilog
right, wrong = sys.argv[1:]
file = Path(hotline_hw.export.generate.__file__)
file.write_text(file.read_text().replace(right, wrong))
print(core_verilog(Geometry(**{SMALL.as_dict()!r})).splitlines()[1])
"""


@pytest.mark.long
def test_sources_edited_after_they_were_loaded(tmp_path):
    """Once, the process that had loaded them kept what they were under the name of what they are."""
    shutil.copytree(ROOT / "hotline_hw", tmp_path / "hotline_hw", ignore=shutil.ignore_patterns("__pycache__"))
    path = os.pathsep.join(map(str, (tmp_path, ROOT, ROOT / "sim", ROOT / "host")))

    def second_line(right: str, wrong: str) -> str:
        command = [sys.executable, "-c", ASK, right, wrong]
        run = subprocess.run(
            command, env=os.environ | {"PYTHONPATH": path}, cwd=tmp_path, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        return run.stdout.strip()

    of_loaded = second_line("Licensed under", "Licensed under")
    assert of_loaded.startswith("// Licensed under")
    of_edited = of_loaded.replace("Licensed", "Edited")
    assert second_line("Licensed under", "Edited under") == of_edited
    assert second_line("Edited under", "Edited under") == of_edited  # a fresh process finds it in the cache
    assert second_line("Edited under", "Licensed under") == of_loaded


@pytest.mark.long
def test_sources_edited_while_it_generates(tmp_path, monkeypatch):
    """Whatever is on disk when the generator starts, it works on what the name was made of."""
    write_sources(read_sources(ROOT, (ROOT / "hotline_hw").glob("**/*.py")), tmp_path)
    monkeypatch.setattr(verilog.hotline_hw, "__file__", str(tmp_path / "hotline_hw" / "__init__.py"))
    generate = verilog.run_logged

    def edited_first(*step) -> None:
        (tmp_path / "hotline_hw" / "export" / "generate.py").write_text("nonsense")
        generate(*step)

    monkeypatch.setattr(verilog, "run_logged", edited_first)
    assert "module hotline_core(" in core_verilog(SMALL)
    (kept,) = (path for path in builds_folder().glob("verilog-*") if path.is_dir())
    assert {path.name for path in kept.iterdir()} == {"hotline_core.v", "contents.json", "build.log"}
    with pytest.raises(DeviceError, match="(?s)generating the Verilog of small-as-can-be failed.*NameError"):
        core_verilog(SMALL)


def test_a_geometry_that_cannot_be():
    with pytest.raises(GeometryError, match="small-as-can-be has no AXI4 manager"):
        core_verilog(SMALL, DEVICE_TOP)


@pytest.mark.long
@needs("g++")
def test_model_edited_while_it_is_compiled(tmp_path, monkeypatch):
    shutil.copytree(memory._FOLDER, tmp_path / "memory")
    monkeypatch.setattr(memory, "_FOLDER", tmp_path / "memory")
    compile_it = memory.run_logged

    def edited_first(*step) -> None:
        (tmp_path / "memory" / "model.hpp").write_text("#error edited\n")
        compile_it(*step)

    monkeypatch.setattr(memory, "run_logged", edited_first)
    memory.memory_library.__wrapped__()  # raises if it does not compile


def test_paths_count(tmp_path):
    texts = {"a/b": "one", "c": "two"}
    write_sources(texts, tmp_path)
    assert read_sources(tmp_path, [tmp_path / "c", tmp_path / "a" / "b"]) == texts
    assert digest_sources(texts) != digest_sources({"a/c": "one", "b": "two"})
    assert digest_sources(texts) != digest_sources({"a/b": "one", "c": "too"})
