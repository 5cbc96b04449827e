"""The model backend at its registers, as a driver finds them on every backend."""

from __future__ import annotations

import numpy as np
import pytest

from hotline_device.device import BusError, DeviceTimeout
from hotline_hw.spec.params import PRESETS, Geometry
from hotline_hw.spec.policy import Policy, pack_policy
from hotline_hw.spec.regmap import (
    COUNTERS,
    ID_VALUE,
    REGISTERS,
    WEIGHTS,
    Access,
    Command,
    Error,
    Irq,
    counter_offset,
    register,
    version_value,
)
from hotline_sim.bench.stimulus import illegal_bits
from hotline_sim.model.core_backend import ModelCore
from tests.support.registers import Registers, send

TINY = PRESETS["tiny"]


def test_identity_and_reset_values(csr):
    assert csr["ID"] == ID_VALUE and csr["VERSION"] == version_value()
    for entry in REGISTERS:
        if entry.reset is not None:
            assert csr[entry.name] == entry.reset, entry.name
    assert csr["HOT_ROWS"] == TINY.hot_capacity
    assert csr["INDEX_BITS"] == TINY.index_bits
    assert csr.status() == {"busy": 0, "command": 0, "phase": 0}
    assert not csr.device.irq


@pytest.mark.parametrize("geometry", PRESETS.values(), ids=PRESETS)
def test_capabilities_rebuild_the_geometry(geometry):
    csr = Registers(ModelCore(geometry))
    values: dict[str, int] = {}
    for name in ("CAP_STREAM", "CAP_TRACKER", "CAP_KEY", "CAP_SAMPLES", "CAP_BEATS", "CAP_POLICY"):
        values |= register(name).unpack(csr[name])
    values["banks"], values["sets"] = 1 << values.pop("log2_banks"), 1 << values.pop("log2_sets")
    assert Geometry(name=geometry.name, **values) == geometry.stream_core()


@pytest.mark.parametrize(
    "offset", [0x028, 0x088, 0x0FC, counter_offset(COUNTERS[-1].name) + 8, 0x002, 0xFFC, 0x1000, -4]
)
def test_an_address_without_a_register_is_a_bus_error(device, offset):
    with pytest.raises(BusError, match=f"read of offset {offset:#05x}"):
        device.read(offset)
    with pytest.raises(BusError, match=f"write of offset {offset:#05x}"):
        device.write(offset, 0)


@pytest.mark.parametrize("entry", [e for e in REGISTERS if e.access == Access.RO], ids=lambda e: e.name)
def test_a_read_only_register_refuses_writes(device, entry):
    before = device.read(entry.offset)
    with pytest.raises(BusError, match=f"{entry.name} is read-only"):
        device.write(entry.offset, ~before & 0xFFFFFFFF)
    assert device.read(entry.offset) == before


def test_a_value_wider_than_a_register_is_refused(csr):
    with pytest.raises(ValueError, match=r"0x100000000 does not fit register CONTROL"):
        csr["CONTROL"] = 1 << 32
    with pytest.raises(ValueError, match="HOT_ROWS"):
        csr["HOT_ROWS"] = -1


def test_unused_bits_of_a_register_stay_zero(csr):
    names = [entry.name for entry in REGISTERS if entry.access == Access.RW and entry.name != "HOT_ROWS"]
    assert len(names) == 11
    for name in names:
        csr[name] = 0xFFFFFFFF
        assert csr[name] == sum(field.mask for field in register(name).fields)
        csr[name] = 0
        assert csr[name] == 0


def test_command_reads_as_zero(csr):
    csr["COMMAND"] = Command.CLEAR
    assert csr["COMMAND"] == 0


# Interrupts and errors


def test_irq_follows_enabled_causes(csr):
    device = csr.device
    csr["COMMAND"] = Command.CLEAR
    assert csr["IRQ_STATUS"] == Irq.COMMAND_DONE and not device.irq
    with pytest.raises(DeviceTimeout, match="irq stayed low"):
        device.wait_irq()
    csr["IRQ_ENABLE"] = int(Irq.BATCH_DONE | Irq.ERROR)
    assert not device.irq
    csr["IRQ_ENABLE"] = int(Irq.COMMAND_DONE)
    assert device.irq
    device.wait_irq()
    csr["IRQ_STATUS"] = int(Irq.BATCH_DONE | Irq.ERROR)
    assert device.irq, "writing ones to other bits clears nothing"
    csr["IRQ_STATUS"] = int(Irq.COMMAND_DONE)
    assert not device.irq and csr["IRQ_STATUS"] == 0


def test_error_bits_are_sticky_and_cleared_one_by_one(csr):
    csr["COMMAND"] = 99
    csr["HOT_ROWS"] = TINY.hot_capacity + 1
    assert csr["ERROR"] == Error.COMMAND_CODE | Error.HOT_ROWS_RANGE
    assert csr.irq() == Irq.ERROR
    csr["ERROR"] = int(Error.COMMAND_CODE | Error.INDEX_RANGE)
    assert csr["ERROR"] == Error.HOT_ROWS_RANGE
    csr["ERROR"] = 0
    assert csr["ERROR"] == Error.HOT_ROWS_RANGE
    csr["HOT_ROWS"] = TINY.hot_capacity + 1
    assert csr.irq() == Irq.ERROR, "an error that was set already is reported again"


def test_stream_errors_reach_the_registers(csr, batches):
    wrong = batches[0].copy()
    wrong[0] |= np.uint64(1) << np.uint64(illegal_bits(TINY)[0])
    send(csr.device, [batches[1], wrong])
    assert csr.irq() == Irq.BATCH_DONE | Irq.ERROR
    assert csr.errors() == Error.INDEX_RANGE
    send(csr.device, [batches[1]])
    assert csr.irq() == Irq.BATCH_DONE and csr["ERROR"] == 0


@pytest.mark.parametrize("code", [0, 7, 255, 0x101, 0x8000_0001])
def test_an_unknown_command_is_an_error(csr, code):
    csr["COMMAND"] = code
    assert csr.irq() == Irq.ERROR
    assert csr.errors() == Error.COMMAND_CODE


def test_hot_rows_sets_the_budget_and_clears(csr, batches):
    send(csr.device, batches)
    csr.irq()
    csr["HOT_ROWS"] = 9
    assert csr.irq() == Irq.COMMAND_DONE
    assert csr["HOT_ROWS"] == 9 and csr["INDEX_BITS"] == 3
    assert not csr.device.core.dump().any()
    csr["HOT_ROWS"] = TINY.hot_capacity + 1
    assert csr.irq() == Irq.ERROR and csr.errors() == Error.HOT_ROWS_RANGE
    assert csr["HOT_ROWS"] == 9 and csr["INDEX_BITS"] == 3


# How popularity is tracked


def test_policy_registers_reach_the_tracker(csr):
    policy = csr.device.core.policy
    assert tuple(policy.weights) == WEIGHTS and policy == Policy()
    other = Policy((*range(1, 13), 31, 14, 15, 16), 200, 5, 70_000, 0x8000_0001)
    values = pack_policy(other)
    assert values["WEIGHTS_0"] == 0x04030201 and values["WEIGHTS_3"] == 0x100F0E1F
    for name, value in values.items():
        csr[name] = value
        assert csr[name] == value
    assert csr.device.core.policy == other
    csr["COMMAND"] = Command.CLEAR
    assert csr.device.core.policy.age_period == 200, "it outlives CLEAR"
