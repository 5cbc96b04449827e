"""What goes through a cell without a clock, and how much it weighs."""

from __future__ import annotations

import pytest

from hotline_hw.synth.cells import CARRY_BIT, LEVEL, MULTIPLIER, MUX, timing, unpack
from hotline_hw.synth.netlist import Cell
from hotline_hw.synth.targets import SynthesisError
from tests.support.netlists import carry4, ccu2, ff, lut


def test_lut_and_register() -> None:
    assert timing(lut([2, 3], 4)).arcs == [(2, 4, LEVEL), (3, 4, LEVEL)]
    register = timing(ff(5, 6))
    assert (register.arcs, register.launched, register.captured) == ([], [(6, 0)], [5]), "the clock is no path"


def test_constants_are_no_paths() -> None:
    cell = Cell("l", "LUT2", {"I0": ["0"], "I1": [3]}, {"O": [4]})
    assert timing(cell).arcs == [(3, 4, LEVEL)]


def test_carry_chain_counts_bits() -> None:
    arcs = {(source, target): weight for source, target, weight in timing(carry4([2, 3, 4, 5], 6, [10, 11, 12, 13],
                                                                                  [20, 21, 22, 23])).arcs}  # fmt: skip
    assert arcs[6, 13] == 4 * CARRY_BIT, "from carry in to the last sum"
    assert arcs[2, 10] == CARRY_BIT and arcs[2, 23] == 4 * CARRY_BIT
    assert (3, 10) not in arcs and (5, 22) not in arcs, "a carry does not go back"


def test_lattice_carry_has_luts_in_front() -> None:
    arcs = {(source, target): weight for source, target, weight in timing(ccu2(2, 3, 4, (10, 11, 12))).arcs}
    assert arcs[2, 12] == LEVEL + 2 * CARRY_BIT and arcs[4, 12] == 2 * CARRY_BIT
    assert arcs[3, 11] == LEVEL and (3, 10) not in arcs


@pytest.mark.parametrize(
    ("inputs", "outputs", "kind", "read"),
    [
        ({"RAD": [2], "WAD": [3], "DI": [4], "WRE": [5], "WCK": [1]}, {"DO": [9]}, "TRELLIS_DPR16X4", {2}),
        ({"ADDRA": [2], "ADDRH": [3], "DIA": [4], "WE": [5], "WCLK": [1]}, {"DOA": [9]}, "RAM32M16", {2}),
        ({"A0": [3], "DPRA0": [2], "D": [4], "WE": [5], "WCLK": [1]}, {"DPO": [9]}, "RAM64X1D", {2}),
    ],
)
def test_lut_ram_is_read_without_a_clock(inputs, outputs, kind, read) -> None:
    found = timing(Cell("m", kind, inputs, outputs))
    assert {source for source, _, _ in found.arcs} == read
    assert found.launched == [(9, LEVEL)], "what was written comes out after a read"
    assert {3, 4, 5} <= set(found.captured) and 1 not in found.captured


def test_block_ram_and_multiplier() -> None:
    ram = timing(Cell("m", "RAMB36E2", {"ADDRARDADDR": [2, 3], "CLKARDCLK": [1]}, {"DOUTADOUT": [9]}))
    assert (ram.arcs, ram.captured) == ([], [2, 3])
    plain = Cell("p", "MULT18X18D", {"A0": [2]}, {"P0": [9]})
    assert timing(plain).arcs == [(2, 9, MULTIPLIER)]
    registered = Cell("p", "MULT18X18D", {"A0": [2]}, {"P0": [9]}, {"REG_PIPELINE_CLK": "CLK0"})
    assert timing(registered).captured == [2]


def test_weights_keep_their_parts() -> None:
    assert unpack(3 * LEVEL + 2 * MUX + 9 * CARRY_BIT) == (24 + 4 + 9, 3, 2, 9)


def test_an_unknown_cell_is_an_error() -> None:
    with pytest.raises(SynthesisError, match="cell x is a FOO9, which hotline_hw/synth/cells.py does not know"):
        timing(Cell("x", "FOO9", {}, {}))
