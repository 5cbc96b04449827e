"""Capability registers report the geometry, and reading them gives it back."""

from __future__ import annotations

import pytest

from hotline_hw.spec.capabilities import CAPABILITIES, capability_fields, capability_values, parameters
from hotline_hw.spec.params import PRESETS, Geometry, preset
from hotline_hw.spec.regmap import REGISTERS


@pytest.mark.parametrize("name", PRESETS)
def test_a_geometry_is_read_back(name):
    geometry = preset(name)
    assert Geometry(name=name, **parameters(capability_values(geometry))) == geometry


def test_values_by_hand():
    """`kaggle`, written by hand."""
    values = capability_values(preset("kaggle"))
    geometry = preset("kaggle")
    assert values["CAP_STREAM"] == geometry.lanes | geometry.bank_ports << 8 | geometry.queue_depth << 16
    assert values["CAP_DMA"] == 6 | 8 << 8 | geometry.tag_id_bits << 16 | (geometry.read_beats.bit_length() - 1) << 24
    assert values["CAP_WORKING"] == geometry.working_rows


def test_a_core_has_those_of_its_own():
    values = capability_values(preset("tiny"), REGISTERS)
    assert "CAP_KEY" in values and "CAP_DMA" not in values and "ID" not in values


def test_fields_fit():
    for name in PRESETS:
        for register in CAPABILITIES:
            held = capability_fields(register, preset(name))
            assert all(held[field.name] >> field.width == 0 for field in register.fields)
