"""Large resets go through global buffers, and nothing else of the netlist changes."""

from __future__ import annotations

import copy

import pytest

from hotline_hw.synth import resets
from hotline_hw.synth.targets import TARGETS

ROUTER = TARGETS["ecp5-85k"].router
assert ROUTER and ROUTER.buffer
BUFFER = ROUTER.buffer


def register(reset: int | str) -> dict:
    return {"type": "TRELLIS_FF", "connections": {"CLK": [2], "LSR": [reset], "Q": [9]}}


def netlist() -> dict:
    """Net 3 resets three registers, net 4 one, "0" two. A LUT reads net 3. Net 11 is the largest, of a port."""
    cells = {f"ff{index}": register(net) for index, net in enumerate([3, 3, 4, "0", 3, "0"])}
    cells["lut"] = {"type": "LUT4", "connections": {"A": [3], "Z": [10]}}
    return {"ports": {"rst": {"direction": "input", "bits": [11]}}, "cells": cells, "netnames": {}}


@pytest.mark.parametrize(("least", "chosen"), [(1, [3, 4]), (2, [3]), (3, [3]), (4, [])])
def test_only_large_resets(monkeypatch: pytest.MonkeyPatch, least: int, chosen: list[int]) -> None:
    monkeypatch.setattr(resets, "_LEAST", least)
    module, before = netlist(), netlist()
    assert resets.put_resets_on_globals(module, BUFFER) == chosen
    buffers = {
        cell["connections"]["CLKI"][0]: cell["connections"]["CLKO"][0]
        for cell in module["cells"].values()
        if cell["type"] == "DCCA"
    }
    assert list(buffers) == chosen
    assert all(net > 11 for net in buffers.values()) and len(set(buffers.values())) == len(buffers), "nets of their own"
    expected = copy.deepcopy(before["cells"])
    for cell in expected.values():
        if cell["type"] == "TRELLIS_FF":
            cell["connections"]["LSR"] = [buffers.get(net, net) for net in cell["connections"]["LSR"]]
    assert {name: module["cells"][name] for name in expected} == expected
    assert module["ports"] == before["ports"]


def test_no_more_than_there_are_networks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resets, "_LEAST", 1)
    monkeypatch.setattr(resets, "_MOST", 1)
    assert resets.put_resets_on_globals(netlist(), BUFFER) == [3], "the larger one"
