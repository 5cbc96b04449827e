"""Proofs of hardware properties, unbounded or to a given depth, with Yosys and ABC.

A property is an Amaranth component. Its `In` ports may take any value in any cycle. In `m.d.sync` it states what it
assumes (`Assume`), what must hold (`Assert`) and what must be reachable (`Cover`), each with a message.

    component --RTLIL--> Yosys --and-inverter graph (AIGER)--> ABC: pdr, bmc3 --inputs--> Amaranth's simulator --> VCD

A counterexample is replayed in Amaranth's own simulator before it is reported. So two independent tools agree on it,
and the trace has the design's names. Yosys and ABC both come with pyosys; nothing else is needed.

A verdict is kept in the cache of builds, under the hash of all that it depends on (the design as RTLIL, scripts,
version of the tools), so what has not changed is not proved again.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Module, Mux, Signal, Value, ValueCastable
from amaranth.lib import wiring
from amaranth.sim import Simulator, SimulatorContext

from hotline_device.device import DeviceError
from hotline_sim.build.cache import cached_build, digest
from hotline_sim.build.tools import ToolError

__all__ = ["FormalError", "PropertyFailed", "check", "cover", "first_value", "induct", "prove"]


class PropertyFailed(AssertionError):
    """An assertion can be violated, or a cover cannot be reached; the message says which, and where the trace is.

    Attributes:
        trace: VCD of the shortest violation found; None for a cover that cannot be reached.
        cycles: length of the trace.
    """

    def __init__(self, message: str, trace: Path | None = None, cycles: int = 0) -> None:
        super().__init__(message)
        self.trace = trace
        self.cycles = cycles


class FormalError(RuntimeError):
    """The tools gave no verdict (time limit, or an error in a tool); the message says which, and where the log is."""


def first_value(m: Module, port: Value) -> Value:
    """The value that `port` has in the first cycle, in all cycles: turns a free input into a free constant."""
    first, held = Signal(init=1), Signal(port.shape())
    value = Signal(port.shape())
    m.d.comb += value.eq(Mux(first, port, held))
    m.d.sync += [first.eq(0), held.eq(value)]
    return value


def prove(component: wiring.Component, folder: Path, *, seconds: int = 300) -> None:
    """Proves every assertion for any number of cycles, by property-directed reachability (ABC's `pdr`).

    Raises:
        PropertyFailed: an assertion can be violated.
        FormalError: no verdict after `seconds`.
    """
    problem = _Problem.prepare(component, folder, covers=False)
    reply = problem.solve("prove", f"scorr; dc2; pdr -ax -T {seconds}", lambda said: _PROVED in said)
    if _PROVED not in reply:
        problem.report(reply, f"no proof in {seconds} s")


def induct(component: wiring.Component, folder: Path, *, cycles: int, seconds: int = 300) -> None:
    """Proves every assertion for any number of cycles, by induction over `cycles` cycles (ABC's `ind` and `bmc3`).

    It is for a component whose assertions say so much that they hold in a cycle if they held in the cycles before it.
    Then it takes seconds where `prove` has no end.

    Raises:
        PropertyFailed: an assertion can be violated in the first `cycles` cycles.
        FormalError: an assertion may be violated in a cycle although all held before it, or it was not done after
            `seconds`.
    """
    problem = _Problem.prepare(component, folder, covers=False)
    commands = f"bmc3 -F {cycles + 2} -T {seconds}; ind -F {cycles + 1} -T {seconds}"
    reply = problem.solve("induct", commands, lambda said: _INDUCTIVE in said and _none_found(said, cycles + 1))
    if not (_INDUCTIVE in reply and _none_found(reply, cycles + 1)):
        problem.report(reply, f"no induction over {cycles} cycles in {seconds} s")


def check(component: wiring.Component, folder: Path, *, cycles: int, seconds: int = 300) -> None:
    """Checks every assertion in the first `cycles` cycles, by bounded model checking (ABC's `bmc3`).

    Raises:
        PropertyFailed: an assertion can be violated.
        FormalError: not done after `seconds`.
    """
    problem = _Problem.prepare(component, folder, covers=False)
    # A clock edge samples assertions, so that of cycle n is in frame n + 1 of the graph.
    reply = problem.solve("check", f"bmc3 -F {cycles + 1} -T {seconds}", lambda said: _none_found(said, cycles))
    if not _none_found(reply, cycles):
        problem.report(reply, f"{cycles} cycles not checked in {seconds} s")


def cover(component: wiring.Component, folder: Path, *, cycles: int, seconds: int = 300) -> Path:
    """Shows that the component's one `Cover` can be reached within `cycles` cycles. Returns the trace, a VCD.

    A proof is worthless if its assumptions contradict each other or its interesting case never occurs. A cover guards
    against that.

    Raises:
        PropertyFailed: it cannot be reached.
        FormalError: not done after `seconds`.
    """
    problem = _Problem.prepare(component, folder, covers=True)
    reply = problem.solve("cover", f"bmc3 -F {cycles + 1} -T {seconds}", lambda said: _none_found(said, cycles))
    if _REFUTED in reply:
        trace, _, said = problem.replay()
        if "Coverage hit" not in said:
            raise FormalError(f"Amaranth's simulator disagrees with the cover ({said or 'silent'}); see {trace}")
        return trace
    if _none_found(reply, cycles):
        raise PropertyFailed(f"the cover cannot be reached within {cycles} cycles")
    raise FormalError(f"{cycles} cycles not searched in {seconds} s; the log is {problem.folder / 'cover.log'}")


def _none_found(reply: str, cycles: int) -> bool:
    """Whether `bmc3` searched all cycles, or all reachable states, and found nothing."""
    return f"No output asserted in {cycles + 1} frames" in reply or "Explored all reachable states" in reply


# Yosys: converts the design to a graph of and-gates, inverters and flip-flops that start at zero. A cover becomes the
# assertion that it never happens; a run that reaches it violates that assertion.
_PREPARE = """
read_rtlil model.il
hierarchy -check -top top
proc
flatten
opt -full
memory -nomap
memory_map -formal
async2sync
chformal -lower
{select}
formalff -clk2ff
setundef -anyseq
opt -full
techmap
opt -fast
dffunmap
aigmap
opt_clean
write_aiger -I -B -L -zinit -no-startoffset -map model.map model.aig
"""
_ASSERTIONS = "chformal -cover -remove"
_COVERS = "chformal -assert -remove\ntechmap -map cover.v"
_COVER_MAP = """
(* techmap_celltype = "$cover" *)
module cover_(input A, input EN);
  \\$assert never (.A(!A), .EN(EN));
endmodule
"""
_RUN_YOSYS = "import sys; from pyosys import libyosys as ys; ys.run_pass('script ' + sys.argv[1], ys.Design())"


_PROVED = "Proved = 1."
_INDUCTIVE = "Networks are equivalent."
_REFUTED = "was asserted in frame"
_WITNESS = ("model.map", "counterexample.aiw")


class _NoVerdict(Exception):
    def __init__(self, reply: str) -> None:
        super().__init__(reply)
        self.reply = reply


@dataclass(frozen=True)
class _Problem:
    """A component prepared for ABC.

    Attributes:
        top: the component with a clock domain around it.
        inputs: its free inputs by name.
        folder: contains model.il, the scripts, logs and traces.
    """

    top: Module
    inputs: dict[str, Signal]
    folder: Path

    @classmethod
    def prepare(cls, component: wiring.Component, folder: Path, *, covers: bool) -> _Problem:
        if importlib.util.find_spec("pyosys") is None:
            raise ToolError("pyosys, which carries Yosys and ABC, is not installed: pip install 'hotline[formal]'")
        folder.mkdir(parents=True, exist_ok=True)
        top = Module()
        top.domains.sync = clock = ClockDomain("sync", local=True)  # its reset has no driver: never asserted
        top.submodules.property = component
        inputs = {}
        for _, member, value in component.signature.flatten(component):
            signal = value.as_value() if isinstance(value, ValueCastable) else value
            if member.flow == wiring.In and len(signal):
                inputs[signal.name] = signal
        (folder / "model.il").write_text(rtlil.convert(top, ports=[clock.clk, *inputs.values()], emit_src=False))
        (folder / "cover.v").write_text(_COVER_MAP)
        select = _COVERS if covers else _ASSERTIONS
        (folder / "prepare.ys").write_text(_PREPARE.format(select=select))
        return cls(top, inputs, folder)

    def _run(self, name: str, command: list[str]) -> str:
        """Runs a tool and returns its output, which is also written to <name>.log."""
        run = subprocess.run(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        log = self.folder / f"{name}.log"
        log.write_text(run.stdout)
        if run.returncode:
            last = run.stdout.strip().splitlines()[-1:] or ["no output"]
            raise FormalError(f"{name} ended with status {run.returncode} ({last[0]}); the log is {log}")
        return run.stdout

    def solve(self, name: str, commands: str, holds: Callable[[str], bool]) -> str:
        """ABC's reply to `commands` on the graph, from the cache if it is a verdict that was found before.

        The graph's one property: all assertions hold under the assumptions. `folder` then has the reply in <name>.log,
        and model.map and counterexample.aiw for a counterexample.

        Args:
            holds: whether a reply says that the property holds. Neither that nor a counterexample is no verdict.
        """
        inputs = [(self.folder / file).read_text() for file in ("model.il", "prepare.ys", "cover.v")]
        log = f"{name}.log"

        def build(kept: Path) -> None:
            reply = self._ask(name, commands)
            if not (holds(reply) or _REFUTED in reply):
                raise _NoVerdict(reply)
            for file in (log, *_WITNESS):
                if (self.folder / file).exists():
                    shutil.copyfile(self.folder / file, kept / file)

        try:
            kept = cached_build(f"proof-{digest(*inputs, commands, version('pyosys'))}", "a verdict", build)
        except _NoVerdict as error:
            return error.reply
        except DeviceError:  # no cache
            return self._ask(name, commands)
        for file in (log, *_WITNESS):
            if (kept / file).exists():
                shutil.copyfile(kept / file, self.folder / file)
        return (kept / log).read_text()

    def _ask(self, name: str, commands: str) -> str:
        self._run("prepare", [sys.executable, "-c", _RUN_YOSYS, "prepare.ys"])
        spec = importlib.util.find_spec("pyosys")
        assert spec is not None and spec.origin is not None
        abc = Path(spec.origin).parent / "yosys-abc"
        trace = self.folder / "counterexample.aiw"
        trace.unlink(missing_ok=True)
        script = f"read_aiger model.aig; fold; strash; orpos; {commands}; write_cex -a {trace.name}"
        return self._run(name, [str(abc), "-c", script])

    def report(self, reply: str, otherwise: str) -> None:
        """Raises the error for a reply that is no proof."""
        if _REFUTED not in reply:
            raise FormalError(f"{otherwise}; the logs are in {self.folder}")
        trace, cycles, said = self.replay()
        violated = re.search("Assertion violated.*", said)
        if violated is None or "Assumption" in said:
            raise FormalError(
                f"Amaranth's simulator disagrees with ABC's counterexample ({said or 'silent'}); see {trace}"
            )
        raise PropertyFailed(f"{violated[0]}, in cycle {cycles - 1}; the trace is {trace}", trace, cycles)

    def _stimulus(self) -> list[dict[str, int]]:
        """The counterexample's value of every input in every cycle."""
        places: dict[int, tuple[str, int]] = {}  # number of an input of the graph -> name, bit
        for line in (self.folder / "model.map").read_text().splitlines():
            found = re.fullmatch(r"input (\d+) (\d+) (.*)", line)
            if found and found[3] in self.inputs:
                places[int(found[1])] = (found[3], int(found[2]))
        # A witness is the flip-flops' initial state, a line of inputs for each frame, and a comment. The last frame
        # only shows what the edge before it sampled; its inputs do not matter.
        lines = (self.folder / "counterexample.aiw").read_text().splitlines()
        frames = []
        for line in [line for line in lines if re.fullmatch("[01x]+", line)][1:-1]:
            values = dict.fromkeys(self.inputs, 0)
            for place, (name, position) in places.items():
                values[name] |= (line[place] == "1") << position
            frames.append(values)
        return frames

    def replay(self) -> tuple[Path, int, str]:
        """Simulates the counterexample. Returns its trace, its length in cycles, and the simulator's output."""
        frames = self._stimulus()
        said = io.StringIO()

        async def drive(ctx: SimulatorContext) -> None:
            for values in frames:
                for name, value in values.items():
                    ctx.set(self.inputs[name].as_unsigned(), value)
                await ctx.tick()

        trace = self.folder / "counterexample.vcd"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # elaborated twice: for the graph and here
            simulator = Simulator(self.top)
        simulator.add_clock(1e-8)
        simulator.add_testbench(drive)
        with simulator.write_vcd(str(trace)), contextlib.redirect_stdout(said):
            try:
                simulator.run()
            except AssertionError as error:
                said.write(str(error))
        return trace, len(frames), said.getvalue()
