"""What a core costs: the reported bits of memory are those of the Verilog."""

from __future__ import annotations

import re

import pytest

from hotline_hw.export.resources import shell_bits, sram_bits
from hotline_hw.spec.params import preset
from hotline_sim.build.verilog import core_verilog

OUTSIDE_BANKS = ("beats in flight", "slots that SELECT vacates")


def memory_bits(verilog: str) -> dict[str, int]:
    """Bits of memory that each module itself declares."""
    bits = {}
    for module in re.split(r"^(?=module )", verilog, flags=re.MULTILINE)[1:]:
        name = re.match(r"module (\S+?)\(", module)[1]  # type: ignore[index]
        arrays = re.findall(r"^  reg \[(\d+):0\] \S+ \[(\d+):0\];", module, flags=re.MULTILINE)
        arrays += [("0", depth) for depth in re.findall(r"^  reg \S+ \[(\d+):0\];", module, flags=re.MULTILINE)]
        bits[name] = sum((int(high) + 1) * (int(last) + 1) for high, last in arrays)
    return bits


@pytest.mark.long
@pytest.mark.parametrize("settings", [{}, {"entries_per_hot_row": 4, "counter_bits": 5}])
def test_sram_bits_of_the_banks(settings: dict[str, int]) -> None:
    geometry = preset("tiny").override(settings)
    declared = memory_bits(core_verilog(geometry))
    bank = sum(bits for name, bits in declared.items() if "bank" in name)
    told = {name: bits for name, bits in sram_bits(geometry).items() if name not in OUTSIDE_BANKS}
    assert sum(told.values()) == geometry.banks * bank
    rest = sum(bits for name, bits in declared.items() if "bank" not in name)
    beside = sum(sram_bits(geometry).get(name, 0) for name in OUTSIDE_BANKS)
    assert 0.9 * beside < rest < 1.1 * beside, "less the output registers of FIFOs, and a small table of verdicts"


@pytest.mark.long
def test_bits_of_the_shell() -> None:
    geometry = preset("tiny")
    core, device = (sum(memory_bits_placed(geometry, name).values()) for name in ("hotline_core", "hotline_device"))
    told = sum(shell_bits(geometry).values())
    assert 0.9 * told < device - core < 1.1 * told, "less the FIFOs between blocks"


def memory_bits_placed(geometry, name: str) -> dict[str, int]:
    """Bits of memory by module. Banks count as often as there are."""
    bits = memory_bits(core_verilog(geometry, name))
    return {module: count * (geometry.banks if "bank" in module else 1) for module, count in bits.items()}
