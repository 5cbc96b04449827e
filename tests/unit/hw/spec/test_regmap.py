"""The register map: a consistent table that agrees with the enumerations."""

from __future__ import annotations

import pytest

from hotline_hw import __version__
from hotline_hw.spec import regmap
from hotline_hw.spec.params import BUS_ATTRIBUTES, PRESETS, Geometry
from hotline_hw.spec.regmap import COUNTERS, REGISTERS, Access, Error, Irq, counter_offset, register
from hotline_hw.spec.shell_registers import SHELL_REGISTERS


def test_offsets_are_unique_aligned_and_in_range():
    offsets = [entry.offset for entry in REGISTERS]
    assert len(offsets) == len(set(offsets))
    assert all(offset % 4 == 0 and 0 <= offset < 1 << regmap.ADDRESS_BITS for offset in offsets)


def test_names_are_unique_and_found():
    assert len({entry.name for entry in REGISTERS}) == len(REGISTERS)
    for entry in REGISTERS:
        assert register(entry.name) is entry
    with pytest.raises(KeyError, match="no register 'CONTOL'; the registers are ID, VERSION"):
        register("CONTOL")


@pytest.mark.parametrize("entry", REGISTERS, ids=lambda entry: entry.name)
def test_bit_fields_do_not_overlap(entry):
    seen = 0
    for field in entry.fields:
        assert field.width > 0 and field.mask < 1 << 32, f"{field.name} leaves the register"
        assert not seen & field.mask, f"{field.name} overlaps another field"
        assert field.doc
        seen |= field.mask
    assert seen and entry.doc
    assert entry.reset is None or (0 <= entry.reset < 1 << 32 and not entry.reset & ~seen)


def test_unpack_splits_a_value():
    value = 0x0102_0304
    assert register("VERSION").unpack(value) == {"patch": 4, "minor": 3, "major": 2}
    assert register("VERSION").field("minor").get(value) == 3


def test_version_is_the_packages():
    parts = register("VERSION").unpack(regmap.version_value())
    assert f"{parts['major']}.{parts['minor']}.{parts['patch']}" == __version__


def test_id_spells_the_name():
    assert regmap.ID_VALUE.to_bytes(4, "big") == b"HOTL"
    assert register("ID").reset == regmap.ID_VALUE


@pytest.mark.parametrize(("name", "flags"), [("ERROR", Error), ("IRQ_STATUS", Irq), ("IRQ_ENABLE", Irq)])
def test_flags_are_the_fields(name, flags):
    assert {field.name: field.mask for field in register(name).fields} == {
        flag.name.lower(): flag.value for flag in flags
    }


def test_counters_have_two_read_only_halves():
    names = [counter.name for counter in COUNTERS]
    assert len(set(names)) == len(names)
    for counter in COUNTERS:
        low, high = register(f"COUNTER_{counter.name.upper()}_LO"), register(f"COUNTER_{counter.name.upper()}_HI")
        assert (low.offset, high.offset) == (counter_offset(counter.name), counter_offset(counter.name) + 4)
        assert low.access == high.access == Access.RO
        assert counter.doc in low.doc


def test_capabilities_hold_the_largest_geometry():
    """Each field of a CAP register is wide enough for the largest value that the rules of Geometry allow."""
    limits = {
        "lanes": 32, "bank_ports": 32, "queue_depth": 32768, "log2_banks": 8, "log2_sets": 16, "ways": 64,
        "table_bits": 8, "row_bits": 32, "max_lookups": 4096, "max_samples": 1 << 22,
        "beat_depth": 65535, "front_rows": 64, "entries_per_hot_row": 8, "counter_bits": 12, "max_moves": 65535,
    }  # fmt: skip
    fields = {f.name: f for entry in REGISTERS if entry.name.startswith("CAP_") for f in entry.fields}
    assert fields.keys() == limits.keys()
    sizes = {name: value for name, value in limits.items() if not name.startswith("log2")}
    size = {name: 1 << limits[f"log2_{name}"] for name in ("banks", "sets")}
    Geometry(**sizes | size | {"sets": 4096})  # each limit can be built, but all limits at once give too many slots
    Geometry(**sizes | size | {"banks": 16})
    for name, limit in limits.items():
        assert limit < 1 << fields[name].width


def test_capabilities_tell_the_whole_geometry():
    """The registers tell all of a geometry, so a driver can build it from them."""
    registers = REGISTERS + SHELL_REGISTERS
    fields = {f.name for entry in registers if entry.name.startswith("CAP_") for f in entry.fields}
    renamed = {
        "log2_banks": "banks", "log2_sets": "sets", "log2_axi_bytes": "axi_bits", "log2_read_tags": "read_tags",
        "log2_read_beats": "read_beats",
    }  # fmt: skip
    told = {renamed.get(name, name) for name in fields} - {"windows"}  # the same for every geometry
    assert told == PRESETS["tiny"].as_dict().keys() - {"name", *BUS_ATTRIBUTES}
