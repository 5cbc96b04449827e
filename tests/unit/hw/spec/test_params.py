"""Geometry: its rules and their messages, its widths, its presets, and the budget's arithmetic."""

from __future__ import annotations

import pytest

from hotline_hw.spec.params import PRESETS, Geometry, GeometryError, preset
from hotline_sim.model.core import GoldenCore

TINY = PRESETS["tiny"]
CORE = TINY.stream_core()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"lanes": 1}, "lanes=1 breaks the rule: 2 <= lanes <= 32"),
        ({"lanes": 64, "max_lookups": 64}, "lanes=64 breaks the rule: 2 <= lanes <= 32"),
        ({"lanes": 3}, "lanes=3 breaks the rule: a power of two"),
        ({"banks": 6}, "banks=6 breaks the rule: a power of two"),
        ({"banks": 1}, "banks=1 breaks the rule: 2 <= banks <= 256"),
        ({"banks": 512}, "banks=512 breaks the rule: 2 <= banks <= 256"),
        ({"sets": 0}, "sets=0 breaks the rule: a power of two"),
        ({"sets": 1}, "sets=1 breaks the rule: 2 <= sets <= 65536"),
        ({"sets": 131072}, "sets=131072 breaks the rule: 2 <= sets <= 65536"),
        ({"ways": 1}, "ways=1 breaks the rule: 2 <= ways <= 64"),
        ({"ways": 65}, "ways=65 breaks the rule: 2 <= ways <= 64"),
        (
            {"entries_per_hot_row": 1},
            "entries_per_hot_row=1 breaks the rule: 2 <= entries_per_hot_row <= 8 (with fewer",
        ),
        ({"entries_per_hot_row": 9}, "entries_per_hot_row=9 breaks the rule: 2 <= entries_per_hot_row <= 8"),
        ({"counter_bits": 1}, "counter_bits=1 breaks the rule: 2 <= counter_bits <= 12"),
        ({"counter_bits": 13}, "counter_bits=13 breaks the rule: 2 <= counter_bits <= 12"),
        ({"max_moves": 0}, "max_moves=0 breaks the rule: 1 <= max_moves <= 65535"),
        ({"max_moves": 65536}, "max_moves=65536 breaks the rule: 1 <= max_moves <= 65535"),
        ({"banks": 256, "sets": 65536, "ways": 64, "entries_per_hot_row": 2}, "slot fits the 23-bit slot field"),
        ({"table_bits": 0}, "table_bits=0 breaks the rule: 1 <= table_bits <= 8"),
        ({"table_bits": 9}, "table_bits=9 breaks the rule: 1 <= table_bits <= 8"),
        ({"row_bits": 33}, "row_bits=33 breaks the rule: 1 <= row_bits <= 32"),
        ({"row_bits": 31}, "row_bits=31 breaks the rule: table_bits + row_bits is even"),
        ({"table_bits": 2, "row_bits": 2}, "row_bits=2 breaks the rule: table_bits + row_bits >= 6"),
        ({"table_bits": 2, "row_bits": 4, "sets": 64}, "sets=64 breaks the rule: log2(banks) + log2(sets) <="),
        ({"max_lookups": 1}, "max_lookups=1 breaks the rule"),
        ({"max_lookups": 4097}, "max_lookups=4097 breaks the rule"),
        ({"max_samples": 0}, "max_samples=0 breaks the rule: 1 <= max_samples <= 4194304"),
        ({"max_samples": 4194305}, "max_samples=4194305 breaks the rule: 1 <= max_samples <= 4194304"),
        ({"lanes": 4, "bank_ports": 3}, "bank_ports=3 breaks the rule: a power of two"),
        ({"bank_ports": 4}, "bank_ports=4 breaks the rule: bank_ports <= lanes = 2"),
        ({"queue_depth": 12}, "queue_depth=12 breaks the rule: a power of two"),
        ({"queue_depth": 2}, "queue_depth=2 breaks the rule: queue_depth >= 2*bank_ports = 4"),
        ({"queue_depth": 65536}, "queue_depth=65536 breaks the rule: queue_depth <= 32768"),
        ({"beat_depth": 3}, "beat_depth=3 breaks the rule: 4 <= beat_depth <= 65535"),
        ({"beat_depth": 65536}, "beat_depth=65536 breaks the rule: 4 <= beat_depth <= 65535"),
        ({"ways": 4.0}, "ways must be an integer, not 4.0"),
        ({"ways": True}, "ways must be an integer, not True"),
        ({"depth": 4}, "unknown parameter 'depth'; the parameters are lanes, banks, sets"),
        ({"name": 4}, "unknown parameter 'name'"),
    ],
)
def test_a_broken_rule_is_named_with_parameter_and_value(settings, message):
    with pytest.raises(GeometryError) as caught:
        CORE.override(settings)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"axi_bits": 64}, "axi_bits=64 breaks the rule: 128, 256 or 512, or 0 for the stream core alone"),
        ({"axi_bits": 256}, "axi_bits=256 breaks the rule: a beat's 64-bit words fit the 2 lanes"),
        ({"axi_bits": 0}, "working_rows=32 breaks the rule: 0 without an AXI4 manager (axi_bits = 0)"),
        ({"ways": 3}, "ways=3 breaks the rule: a set's words are whole beats of axi_bits: a multiple of 2"),
        ({"banks": 256}, "banks=256 breaks the rule: 2 <= banks <= 128 with a shell"),
        ({"working_rows": 33}, "working_rows=33 breaks the rule: banks = 2 times a power of two from 2"),
        ({"working_rows": 2}, "working_rows=2 breaks the rule: banks = 2 times a power of two from 2"),
        ({"read_tags": 3}, "read_tags=3 breaks the rule: a power of two"),
        ({"read_tags": 512}, "read_tags=512 breaks the rule: 2 <= read_tags <= 256"),
        ({"read_beats": 16}, "read_beats=16 breaks the rule: two bursts of 16 beats at least, 4096 at most"),
    ],
)
def test_a_broken_rule_of_the_shell_is_named(settings, message):
    with pytest.raises(GeometryError) as caught:
        TINY.override(settings)
    assert message in str(caught.value)


def test_limits_of_the_rules_are_inside():
    for settings in (
        {"lanes": 2, "bank_ports": 1, "max_lookups": 2},
        {"lanes": 32, "max_lookups": 32},
        {"banks": 16, "sets": 65536, "ways": 16, "entries_per_hot_row": 2},
        {"banks": 256, "sets": 4096, "ways": 64, "entries_per_hot_row": 8},
        {"entries_per_hot_row": 8, "counter_bits": 12, "max_moves": 65535},
        {"counter_bits": 2, "max_moves": 1},
        {"table_bits": 2, "row_bits": 4},
        {"max_lookups": 4096, "max_samples": 1 << 22},
        {"max_samples": 1, "queue_depth": 32768, "beat_depth": 65535},
    ):
        assert settings.items() <= CORE.override(settings).as_dict().items()


def test_override_keeps_the_rest_and_says_so():
    changed = CORE.override({"ways": 3})
    assert changed.ways == 3 and changed.sets == TINY.sets
    assert changed.name != TINY.name
    assert TINY.override({}) is TINY


def test_presets_are_found_by_name():
    for name, geometry in PRESETS.items():
        assert preset(name) is geometry and geometry.name == name
    with pytest.raises(GeometryError, match="unknown preset 'huge'; the presets are tiny, small, edge, kaggle"):
        preset("huge")


def test_presets_hold_what_they_promise():
    assert {name: geometry.entries for name, geometry in PRESETS.items()} == {
        "tiny": 64,
        "small": 8 * 1024,
        "edge": 16 * 1024,
        "kaggle": 1024 * 1024,
    }
    for geometry in PRESETS.values():
        assert geometry.hot_capacity == geometry.entries // 2
        assert geometry.override({"entries_per_hot_row": 4}).hot_capacity == geometry.entries // 4


def test_as_dict_rebuilds_the_geometry():
    for geometry in PRESETS.values():
        assert Geometry(**geometry.as_dict()) == geometry


@pytest.mark.parametrize("entries_per_hot_row", [2, 3, 8])
@pytest.mark.parametrize("name", PRESETS)
def test_widths_hold_their_largest_value(name, entries_per_hot_row):
    geometry = PRESETS[name].override({"entries_per_hot_row": entries_per_hot_row})
    assert 1 << geometry.bank_bits == geometry.banks and 1 << geometry.set_bits == geometry.sets
    assert geometry.tag_bits + geometry.bank_bits == geometry.key_bits
    for largest, bits in (
        (geometry.ways - 1, geometry.way_bits),
        (geometry.ways, geometry.quota_bits),
        (geometry.hot_capacity, geometry.hot_rows_bits),
        (geometry.entries, geometry.entries_bits),
        (geometry.hot_capacity - 1, geometry.slot_bits),
        (geometry.max_samples - 1, geometry.sample_bits),
        (geometry.bank_ports - 1, geometry.bank_port_bits),
    ):
        assert largest < 1 << bits and (bits == 1 or largest >= 1 << (bits - 1))


@pytest.mark.parametrize("entries_per_hot_row", [2, 3, 8])
@pytest.mark.parametrize("ways", [2, 3, 4, 7])
def test_quotas_sum_to_the_budget(ways, entries_per_hot_row):
    """For every budget: the ways in use of all sets are within one of each other, and none exceeds a set's ways."""
    core = GoldenCore(CORE.override({"ways": ways, "entries_per_hot_row": entries_per_hot_row}))
    for hot_rows in range(core.geometry.hot_capacity + 1):
        assert core.set_hot_rows(hot_rows)
        quotas = [core.tracker.quota(gset) for gset in range(1 << core.index_bits)]
        assert sum(quotas) == hot_rows * entries_per_hot_row
        assert max(quotas) <= ways and max(quotas) - min(quotas) <= 1
        assert core.geometry.bank_bits <= core.index_bits <= core.geometry.index_bits


@pytest.mark.parametrize("entries_per_hot_row", [2, 3])
@pytest.mark.parametrize("name", PRESETS)
def test_sets_in_use_keep_half_their_ways(name, entries_per_hot_row):
    """The smallest power of two of sets that holds the budget, so at least half of each set's ways are in use."""
    geometry = PRESETS[name].override({"entries_per_hot_row": entries_per_hot_row})
    most = geometry.hot_capacity
    for hot_rows in {1, geometry.banks, most // 3, most // 2 + 1, most}:
        index_bits, entries = geometry.index_bits_in_use(hot_rows), hot_rows * entries_per_hot_row
        assert geometry.ways << index_bits >= entries
        assert index_bits == geometry.bank_bits or 2 * entries > geometry.ways << index_bits
