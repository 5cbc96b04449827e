"""Proofs of hardware properties, for all time or to a bounded depth, with Yosys and ABC.

A property is an Amaranth component: its `In` ports may take any value in any cycle, and it states in `m.d.sync` what it
assumes (`Assume`), what must then hold (`Assert`) and what must be possible (`Cover`), each with a message.

    component --RTLIL--> Yosys --and-inverter graph (AIGER)--> ABC: pdr, bmc3 --inputs--> Amaranth's simulator --> VCD

A counterexample is replayed in Amaranth's own simulator before it is reported: two independent readings of the design
agree on it, and its trace carries the design's names. Yosys and ABC both come with pyosys; nothing else is needed.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import re
import subprocess
import sys
import warnings
from dataclasses import dataclass
from pathlib import Path

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, Module, Mux, Signal, Value, ValueCastable
from amaranth.lib import wiring
from amaranth.sim import Simulator, SimulatorContext

from hotline_sim.build.tools import ToolError

__all__ = ["FormalError", "PropertyFailed", "check", "cover", "first_value", "prove"]


class PropertyFailed(AssertionError):
    """An assertion can be violated, or what should be possible is not; the message says which and where the trace is.

    Attributes:
        trace: VCD of a shortest-known run that violates it; None for a cover that cannot be reached.
        cycles: the run's length.
    """

    def __init__(self, message: str, trace: Path | None = None, cycles: int = 0) -> None:
        super().__init__(message)
        self.trace = trace
        self.cycles = cycles


class FormalError(RuntimeError):
    """The tools gave no verdict (a limit of time, an error of theirs); the message says which, and where the log is."""


def first_value(m: Module, port: Value) -> Value:
    """The value of `port` in the first cycle, ever after: turns a free input into a free constant."""
    first, held = Signal(init=1), Signal(port.shape())
    value = Signal(port.shape())
    m.d.comb += value.eq(Mux(first, port, held))
    m.d.sync += [first.eq(0), held.eq(value)]
    return value


def prove(component: wiring.Component, folder: Path, *, seconds: int = 300) -> None:
    """Proves every assertion for all time, by property-directed reachability (ABC's `pdr`).

    Raises:
        PropertyFailed: an assertion can be violated.
        FormalError: no verdict after `seconds`.
    """
    problem = _Problem.prepare(component, folder, covers=False)
    reply = problem.solve("prove", f"scorr; dc2; pdr -ax -T {seconds}")
    if "Proved = 1." not in reply:
        problem.report(reply, f"no proof in {seconds} s")


def check(component: wiring.Component, folder: Path, *, cycles: int, seconds: int = 300) -> None:
    """Checks every assertion in the first `cycles` cycles, by bounded model checking (ABC's `bmc3`).

    Raises:
        PropertyFailed: an assertion can be violated.
        FormalError: not done after `seconds`.
    """
    problem = _Problem.prepare(component, folder, covers=False)
    # An assertion of cycle n is seen by the graph in frame n + 1: it is sampled by a clock edge.
    reply = problem.solve("check", f"bmc3 -F {cycles + 1} -T {seconds}")
    if not _none_found(reply, cycles):
        problem.report(reply, f"{cycles} cycles not checked in {seconds} s")


def cover(component: wiring.Component, folder: Path, *, cycles: int, seconds: int = 300) -> Path:
    """Shows that the component's one `Cover` can be reached within `cycles` cycles. Returns the trace, a VCD.

    A proof whose assumptions contradict each other, or whose interesting case never comes, proves nothing: this is the
    guard against that.

    Raises:
        PropertyFailed: it cannot be reached.
        FormalError: not done after `seconds`.
    """
    problem = _Problem.prepare(component, folder, covers=True)
    reply = problem.solve("cover", f"bmc3 -F {cycles + 1} -T {seconds}")
    if "was asserted in frame" in reply:
        trace, _, said = problem.replay()
        if "Coverage hit" not in said:
            raise FormalError(f"Amaranth's simulator disagrees with the cover ({said or 'silent'}); see {trace}")
        return trace
    if _none_found(reply, cycles):
        raise PropertyFailed(f"the cover cannot be reached within {cycles} cycles")
    raise FormalError(f"{cycles} cycles not searched in {seconds} s; the log is {problem.folder / 'cover.log'}")


def _none_found(reply: str, cycles: int) -> bool:
    """Whether `bmc3` looked at all it was asked to, or at all there is, and found nothing."""
    return f"No output asserted in {cycles + 1} frames" in reply or "Explored all reachable states" in reply


# Yosys: to a graph of and-gates, inverters and flip-flops that start at zero. A cover becomes the assertion that it
# never happens, which a run that reaches it violates.
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


@dataclass(frozen=True)
class _Problem:
    """A component made ready for ABC.

    Attributes:
        top: the component with a clock domain around it. inputs: its free inputs by name.
        folder: holds model.il, model.aig, model.map, logs and traces.
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
        problem = cls(top, inputs, folder)
        problem._run("prepare", [sys.executable, "-c", _RUN_YOSYS, "prepare.ys"])
        return problem

    def _run(self, name: str, command: list[str]) -> str:
        """Runs a tool to its end and returns its output, which stays in <name>.log."""
        run = subprocess.run(
            command, cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        log = self.folder / f"{name}.log"
        log.write_text(run.stdout)
        if run.returncode:
            last = run.stdout.strip().splitlines()[-1:] or ["no output"]
            raise FormalError(f"{name} ended with status {run.returncode} ({last[0]}); the log is {log}")
        return run.stdout

    def solve(self, name: str, commands: str) -> str:
        """ABC's reply to `commands` on the graph, assumptions folded into the one property left: all assertions."""
        spec = importlib.util.find_spec("pyosys")
        assert spec is not None and spec.origin is not None
        abc = Path(spec.origin).parent / "yosys-abc"
        trace = self.folder / "counterexample.aiw"
        trace.unlink(missing_ok=True)
        script = f"read_aiger model.aig; fold; strash; orpos; {commands}; write_cex -a {trace.name}"
        return self._run(name, [str(abc), "-c", script])

    def report(self, reply: str, otherwise: str) -> None:
        """Raises what a reply that is no proof means."""
        if "was asserted in frame" not in reply:
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
        # A witness: the flip-flops' first state, a line of inputs for each frame, a comment. The last frame is the one
        # that sees what the edge before it sampled; its inputs do not matter.
        lines = (self.folder / "counterexample.aiw").read_text().splitlines()
        frames = []
        for line in [line for line in lines if re.fullmatch("[01x]+", line)][1:-1]:
            values = dict.fromkeys(self.inputs, 0)
            for place, (name, position) in places.items():
                values[name] |= (line[place] == "1") << position
            frames.append(values)
        return frames

    def replay(self) -> tuple[Path, int, str]:
        """Simulates the counterexample: its trace, its length in cycles, and what the simulator said to it."""
        frames = self._stimulus()
        said = io.StringIO()

        async def drive(ctx: SimulatorContext) -> None:
            for values in frames:
                for name, value in values.items():
                    ctx.set(self.inputs[name].as_unsigned(), value)
                await ctx.tick()

        trace = self.folder / "counterexample.vcd"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # a component that is elaborated twice: for the graph and for this
            simulator = Simulator(self.top)
        simulator.add_clock(1e-8)
        simulator.add_testbench(drive)
        with simulator.write_vcd(str(trace)), contextlib.redirect_stdout(said):
            try:
                simulator.run()
            except AssertionError as error:
                said.write(str(error))
        return trace, len(frames), said.getvalue()
