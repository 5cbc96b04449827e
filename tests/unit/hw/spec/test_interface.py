"""`hotline_hw.spec`, the packing of ring entries and the golden models are held to the literals of `tests/vectors`."""

from __future__ import annotations

import hashlib
import json
from enum import IntEnum
from itertools import pairwise

import numpy as np
import pytest

from hotline_device.ring_entries import Completion, Descriptor
from hotline_hw.spec import descriptors, regmap, shell_registers, words
from hotline_hw.spec.feistel import mix, unmix
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.policy import Policy
from hotline_sim.model.compiled.core import CompiledCore
from hotline_sim.model.core import GoldenCore
from tests.support.vectors import INTERFACE, bits, registers
from tests.vectors import key_hash

CODES = {
    "opcode": descriptors.Opcode, "flag": descriptors.Flag, "status": descriptors.Status, "phase": regmap.Phase,
    "command": regmap.Command, "dma_command": shell_registers.DmaCommand,
}  # fmt: skip
ENTRIES = {"descriptor": (descriptors.DESCRIPTOR, Descriptor), "completion": (descriptors.COMPLETION, Completion)}
KEYS = [(int(width), *pair) for width, pairs in INTERFACE["key_hash"].items() for pair in pairs]


def digest() -> str:
    """Of everything but the history. Comments and the order of lines do not matter."""
    said = {name: value for name, value in INTERFACE.items() if name != "history"}
    return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()[:16]


def test_the_version_stands_for_these_vectors():
    version = "{}.{}".format(*INTERFACE["version"])
    assert INTERFACE["history"].get(version) == digest(), (
        f"the vectors changed: raise the version as README.md says and add its digest, or, if {version} is not "
        f'released yet, let its line be: "{version}" = "{digest()}"'
    )
    assert list(regmap.INTERFACE) == INTERFACE["version"]
    released = [tuple(map(int, name.split("."))) for name in INTERFACE["history"]]
    assert all(before < after for before, after in pairwise(released)) and released[-1] == regmap.INTERFACE


@pytest.mark.parametrize("kind", CODES)
def test_codes(kind: str):
    assert {str(code.name): int(code) for code in CODES[kind]} == INTERFACE["codes"][kind]
    assert kind == "flag" or issubclass(CODES[kind], IntEnum)


def test_limits():
    everywhere = vars(descriptors) | vars(shell_registers)
    assert {name: everywhere[name.upper()] for name in INTERFACE["limits"]} == INTERFACE["limits"]


def test_policy_after_reset():
    said, policy = INTERFACE["policy"], vars(Policy())
    assert policy | {"weights": list(policy["weights"])} == said
    assert list(regmap.WEIGHTS) == said["weights"]


def test_registers():
    found = sorted((*regmap.REGISTERS, *shell_registers.SHELL_REGISTERS), key=lambda register: register.offset)
    expected = sorted(registers())
    assert [each.name for each in found] == [row.name for row in expected]
    for each, row in zip(found, expected, strict=True):
        assert (each.offset, each.access.name) == (row.offset, row.access), each.name
        assert {field.name: (field.low + field.width - 1, field.low) for field in each.fields} == row.fields, each.name
        assert each.reset in (row.reset, None) or row.reset is None, each.name


def test_flags_are_at_their_fields():
    for name, flags in (("ERROR", regmap.Error), ("IRQ_STATUS", regmap.Irq), ("DMA_ERROR", shell_registers.DmaError),
                        ("DMA_IRQ_STATUS", shell_registers.DmaIrq)):  # fmt: skip
        row = next(row for row in registers() if row.name == name)
        assert {str(flag.name).lower(): flag.bit_length() - 1 for flag in flags} == {
            field: low for field, (_, low) in row.fields.items()
        }


def test_words():
    everywhere = vars(words) | vars(descriptors)
    for name, place in INTERFACE["fields"]["words"].items():
        assert (everywhere[name].high, everywhere[name].low) == bits(place), name


@pytest.mark.parametrize("kind", ENTRIES)
def test_ring_entries(kind: str):
    """Each field alone, with bits that are not all the same, and nothing where it is not."""
    fields, entry = ENTRIES[kind]
    places = {name: bits(place) for name, place in INTERFACE["fields"][kind].items()}
    assert [field.name for field in fields] == list(places)
    for name, (high, low) in places.items():
        if name == "unused" or (kind, name) == ("completion", "reserved"):
            continue
        pattern = (0xA5C3_0F18_7E24_6B9D * ((1 << 192) + (1 << 96) + 1) | 1) & (1 << high + 1 - low) - 1
        value = tuple(pattern >> 64 * at & (1 << 64) - 1 for at in range(3)) if name == "targets" else pattern
        zeros = dict.fromkeys(("tag", "opcode", "status") if entry is Completion else ("opcode",), 0)
        it = entry(**zeros | {name: value})
        assert int.from_bytes(it.pack().astype("<u4").tobytes(), "little") == pattern << low, name
        raw = (pattern << low).to_bytes(64, "little")
        assert entry.unpack(np.frombuffer(raw, "<u4")) == it


@pytest.mark.parametrize(("width", "key", "mixed"), KEYS)
def test_key_hash(width: int, key: int, mixed: int):
    assert key_hash.mixed(key, width) == mixed, "the vectors are those of key_hash.py"
    assert mix(key, width) == mixed and unmix(mixed, width) == key
    array = np.array([key], np.uint64)
    assert mix(array, width).tolist() == [mixed] and unmix(np.array([mixed], np.uint64), width).tolist() == [key]


@pytest.mark.parametrize("core", [GoldenCore, CompiledCore])
@pytest.mark.parametrize(("width", "key", "mixed"), [entry for entry in KEYS if entry[0] >= 8])
def test_key_hash_of_the_models(core, width: int, key: int, mixed: int):
    """The entry of a key that was learned is in the bank, and has the tag, that the mixed key says."""
    row_bits = min(32, width - 2)
    geometry = Geometry(lanes=2, banks=2, sets=2, ways=2, table_bits=width - row_bits, row_bits=row_bits,
                        max_lookups=4, max_samples=4, bank_ports=2, queue_depth=8)  # fmt: skip
    model = core(geometry)
    table, row = key >> row_bits, key & (1 << row_bits) - 1
    model.run_batch(np.array([1 << 63 | table << 32 | row], np.uint64), regmap.Phase.LEARN)
    dump = model.dump().reshape(-1, geometry.ways)
    place = [int(at) for at in np.flatnonzero((dump[::2] >> np.uint64(63)).any(axis=1))]
    assert [at % 2 for at in place] == [mixed & 1]
    assert int(dump[2 * place[0], 0]) & (1 << 40) - 1 == mixed >> 1
