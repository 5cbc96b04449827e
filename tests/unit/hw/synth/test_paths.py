"""Longest paths of netlists that are written by hand."""

from __future__ import annotations

import pytest

from hotline_hw.synth.netlist import Cell
from hotline_hw.synth.paths import longest_paths
from hotline_hw.synth.targets import SynthesisError
from tests.support.netlists import carry4, ccu2, ff, lut, netlist


def paths(cells, names=None, **ports):
    return longest_paths({"top": netlist(cells, names, **ports)}, "top", lambda path: path or "top")


def test_kinds_of_paths() -> None:
    # in -> lut -> register a -> lut -> lut -> register b -> lut -> out, and in -> lut -> out
    cells = [lut([2], 3), ff(3, 4), lut([4], 5), lut([5, 4], 6), ff(6, 7), lut([7], 8), lut([2, 8], 9)]
    found = paths(cells, {4: "a", 7: "b"}, inside=[2], out=[9])
    assert {kind: (path.levels, path.start, path.end) for kind, path in found.kinds.items()} == {
        "register to register": (2, "a", "b"),
        "input to register": (1, "inside", "a"),
        "register to output": (2, "b", "out"),
        "input to output": (1, "inside", "out"),
    }


def test_only_the_longest_of_two_ways() -> None:
    cells = [ff(9, 2), lut([2], 3), lut([3], 4), lut([4, 2], 5), ff(5, 6)]
    path = paths(cells, {2: "a", 3: "x", 4: "y", 6: "b"}).kinds["register to register"]
    assert [(step.net, step.levels) for step in path.steps] == [("a", 0), ("x", 1), ("y", 2), ("with a", 3)]


def test_a_level_for_eight_carry_bits() -> None:
    chain = []
    carry: int | str = "0"
    for index in range(8):  # 16 bits in 8 cells of Lattice
        base = 10 * (index + 1)
        chain.append(ccu2(2, 2, carry, (base, base + 1, base + 2)))
        carry = base + 2
    path = paths([ff(99, 2), *chain, ff(81, 98)], {2: "a", 98: "sum"}).kinds["register to register"]
    assert (path.luts, path.carry_bits, path.levels) == (1, 16, 3)
    assert "1 LUTs, 16 carry bits" in str(path)
    short = paths([ff(99, 2), lut([2], 3), carry4([3, 3, 3, 3], "0", [10, 11, 12, 13], [20, 21, 22, 23]), ff(13, 98)])
    assert (short.longest.luts, short.longest.carry_bits, short.longest.levels) == (1, 4, 2)


def test_paths_cross_units() -> None:
    # A child between two registers of the parent adds its LUT; two of them add two.
    child = netlist([lut([2], 3), ff(3, 4)], {4: "kept"}, data=[2], out=[3])
    parent = netlist(
        [
            ff(9, 2),
            Cell("one", "child", {"data": [2]}, {"out": [5]}),
            Cell("two", "child", {"data": [5]}, {"out": [6]}),
            ff(6, 7),
        ],
        {2: "first", 7: "last"},
    )
    found = longest_paths(
        {"top": parent, "child": child}, "top", {"": "top", "one": "child", "two": "child"}.__getitem__
    )
    assert found.kinds["register to register"].levels == 2
    assert found.modules["top"].end == "last"
    assert (found.modules["child"].end, found.modules["child"].levels) == ("two.kept", 2), "the worse of the two"
    assert "one" not in str(found.modules["child"])


def test_an_output_that_is_an_input() -> None:
    child = netlist([], data=[2], out=[2])
    parent = netlist([ff(9, 2), Cell("c", "child", {"data": [2]}, {"out": [5]}), lut([5], 6), ff(6, 7)], {7: "b"})
    found = longest_paths({"top": parent, "child": child}, "top", str)
    assert found.kinds["register to register"].levels == 1


def test_a_loop_is_an_error() -> None:
    with pytest.raises(SynthesisError, match="combinational loop at or before one of: a, b"):
        paths([lut([3], 2), lut([2], 3)], {2: "a", 3: "b"})


def test_wires_only() -> None:
    assert paths([]).longest is None
    assert paths([ff(3, 2), ff(2, 3)], {2: "a", 3: "b"}).longest.levels == 0
