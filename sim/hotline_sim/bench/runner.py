"""Runs the cocotb tests of the benches in a simulator of a geometry, for pytest.

Simulators are built once and kept, as those of the `cocotb` backend. SEED=n chooses the stimulus; WAVES=1 records
waves beside the log, in build/bench/.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path
from xml.etree import ElementTree

from hotline_hw.spec.params import PRESETS, Geometry
from hotline_sim.build.cache import log_tail
from hotline_sim.build.verilog import DEVICE_TOP, TOP
from hotline_sim.cocotb_backend.build import build_simulator, runner_command, runner_environment

from .settings import SEED_VARIABLE, chosen_seed, simulator_settings

__all__ = [
    "BENCH_MODULES", "DEVICE_BENCH_MODULES", "DEVICE_GEOMETRIES", "GEOMETRIES", "BenchFailure", "BenchRun",
    "bench_tests", "run_benches",
]  # fmt: skip

BENCH_MODULES = ("tests_stream", "tests_csr", "tests_state", "tests_select", "tests_random")
DEVICE_BENCH_MODULES = (
    "tests_random", "tests_refused", "tests_faults", "tests_abort", "tests_rings", "tests_host", "tests_addresses",
)  # fmt: skip
_MODULES = {TOP: BENCH_MODULES, DEVICE_TOP: DEVICE_BENCH_MODULES}
_FOLDERS = {TOP: "core", DEVICE_TOP: "device"}

GEOMETRIES: dict[str, Geometry] = {
    geometry.name: geometry
    for geometry in (
        PRESETS["tiny"],
        # What tiny is not: more lanes than bank_ports, ways that are no power of two, keys narrower than their fields,
        # weights above the largest counter, limits that are no powers of two.
        Geometry(
            name="quad", lanes=4, banks=8, sets=4, ways=3, entries_per_hot_row=3, counter_bits=4, max_moves=5,
            table_bits=6, row_bits=20, max_lookups=20, max_samples=48, bank_ports=2, queue_depth=4, beat_depth=8,
        ),
    )
}  # fmt: skip

DEVICE_GEOMETRIES: dict[str, Geometry] = {
    "tiny": PRESETS["tiny"],
    # Beats of two granules, so that rows begin and end in mid-beat.
    "wide": replace(PRESETS["tiny"], name="wide", lanes=4, axi_bits=256, read_tags=8),
}

_TIMEOUT = 840  # seconds


class BenchFailure(AssertionError):
    """A bench failed; the message says how, and has the command that replays it with waves."""


def bench_tests(top: str = TOP) -> list[str]:
    """Every cocotb test of the benches of the core, or of the device, as `module.test`. They are not imported: that
    needs a simulator."""
    found = []
    for module in _MODULES[top]:
        tree = ast.parse((Path(__file__).parent / _FOLDERS[top] / f"{module}.py").read_text())
        names = [item.name for item in tree.body if isinstance(item, ast.AsyncFunctionDef)]
        found += [f"{module}.{name}" for name in names if name.startswith("test_")]
    return found


@dataclass(frozen=True)
class BenchRun:
    """What one simulation said.

    Attributes:
        cases: for each `module.test`, its cases (several if it is parametrized), and how each failed, if it did.
        trouble: what went wrong with the simulation as a whole, if anything.
        seed: what chose the stimulus.
        log: what was logged.
    """

    cases: dict[str, dict[str, str | None]]
    trouble: str | None
    seed: int
    log: Path

    @property
    def coverage(self) -> str:
        """The table of coverpoints; empty if no bench that writes it ran."""
        table = self.log.with_name("coverage.txt")
        return table.read_text() if table.is_file() else ""

    def check(self, test: str) -> None:
        """Raises BenchFailure unless every case of `test` ran and passed."""
        cases = self.cases.get(test, {})
        failures = [f"{case} failed:\n{text}" for case, text in cases.items() if text is not None]
        if not cases:
            failures = [f"{test} did not run to its end: {self.trouble}\n{log_tail(self.log, 40)}"]
        if failures:
            node = os.environ.get("PYTEST_CURRENT_TEST", "tests/cocotb").removesuffix(" (call)")
            replay = f"{SEED_VARIABLE}={self.seed} WAVES=1 .venv/bin/pytest '{node}'"
            failures.append(f"{SEED_VARIABLE} was {self.seed}. Log: {self.log}")
            failures.append(f"Replay with waves, in {self.log.parent}:\n    {replay}")
            raise BenchFailure("\n".join(failures))


def run_benches(geometry: Geometry, simulator: str, tests: list[str], top: str = TOP) -> BenchRun:
    """Runs `tests`, each a `module.test`, one after another in one simulation of the core, or of the device.

    Raises:
        DeviceError: the simulator is missing or cannot be built.
    """
    seed = chosen_seed()
    record = os.environ.get("WAVES", "0") not in ("", "0")
    build = build_simulator(geometry, simulator, waves=record, top=top)

    name = geometry.name if top == TOP else f"device-{geometry.name}"
    folder = Path("build", "bench", f"{name}-{simulator}").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    waves = folder / ("waves.vcd" if simulator == "verilator" else "waves.fst")
    modules = ",".join(f"hotline_sim.bench.{_FOLDERS[top]}.{module}" for module in _MODULES[top])
    command: list[str | Path] = [
        *runner_command("run", simulator, build, top), "--run-folder", folder, "--test-module", modules,
        "--test-filter", rf"\.({'|'.join(map(re.escape, tests))})(/.*)?$",
    ]  # fmt: skip
    if record:
        command += ["--waves", waves]
    env = runner_environment(simulator) | simulator_settings(geometry, seed)
    log = folder / "log.txt"
    with log.open("w") as file:
        process = subprocess.Popen(
            command, cwd=folder, env=env, stdin=subprocess.DEVNULL, stdout=file,
            stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
        try:
            status = process.wait(_TIMEOUT)
            trouble = f"the simulator ended with status {status}" if status else None
        except subprocess.TimeoutExpired:
            trouble = f"no end after {_TIMEOUT} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)  # the simulator, which is a child of it, too
                process.wait()
    return BenchRun(_results(folder / "results.xml"), trouble, seed, log)


def _results(path: Path) -> dict[str, dict[str, str | None]]:
    """`BenchRun.cases` of a results file; empty if there is none. The runner's exit status does not tell."""
    cases: dict[str, dict[str, str | None]] = {}
    if not path.is_file():
        return cases
    for case in ElementTree.parse(path).iter("testcase"):
        module, name = case.attrib["classname"].rpartition(".")[2], case.attrib["name"]
        failed = [found for kind in ("failure", "error", "skipped") if (found := case.find(kind)) is not None]
        text = (failed[0].text or failed[0].get("message") or failed[0].tag) if failed else None
        cases.setdefault(f"{module}.{name.partition('/')[0]}", {})[name] = text
    return cases
