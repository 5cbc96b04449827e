"""The model backend at its registers: what a driver meets on every backend."""

from __future__ import annotations

import numpy as np
import pytest

from hotline_hw.params import PRESETS, Geometry
from hotline_hw.regmap import (
    COUNTERS,
    ID_VALUE,
    REGISTERS,
    Access,
    Command,
    Error,
    Irq,
    Phase,
    counter_offset,
    register,
    version_value,
)
from hotline_sim.device import BusError, DeviceError, DeviceTimeout
from hotline_sim.model_backend import ModelDevice
from hotline_sim.stimulus import illegal_bits, random_batches

TINY = PRESETS["tiny"]
EVERY_IRQ = int(Irq.BATCH_DONE | Irq.COMMAND_DONE | Irq.ERROR)


class Registers:
    """Registers by name."""

    def __init__(self, device: ModelDevice) -> None:
        self.device = device

    def __getitem__(self, name: str) -> int:
        return self.device.read(register(name).offset)

    def __setitem__(self, name: str, value: int) -> None:
        self.device.write(register(name).offset, value)

    def counter(self, name: str) -> int:
        """A counter's snapshot, 64 bits."""
        low = counter_offset(name)
        return self.device.read(low) | self.device.read(low + 4) << 32

    def status(self) -> dict[str, int]:
        return register("STATUS").unpack(self["STATUS"])

    def irq(self) -> Irq:
        """Interrupt causes, cleared."""
        causes = self["IRQ_STATUS"]
        self["IRQ_STATUS"] = causes
        return Irq(causes)

    def errors(self) -> Error:
        """Errors, cleared, and the interrupt cause with them."""
        errors = self["ERROR"]
        self["ERROR"] = errors
        self["IRQ_STATUS"] = int(Irq.ERROR)
        return Error(errors)


@pytest.fixture(params=[False, True], ids=["fast", "reference"])
def device(request):
    with ModelDevice(TINY, reference=request.param) as device:
        yield device


@pytest.fixture
def csr(device) -> Registers:
    return Registers(device)


def send(device: ModelDevice, batches: list[np.ndarray]):
    return device.stream(np.concatenate(batches), np.cumsum([len(batch) for batch in batches]))


@pytest.fixture
def batches() -> list[np.ndarray]:
    return random_batches(np.random.default_rng(5), TINY, 6)


def test_identity_and_reset_values(csr):
    assert csr["ID"] == ID_VALUE and csr["VERSION"] == version_value()
    for entry in REGISTERS:
        if entry.reset is not None:
            assert csr[entry.name] == entry.reset, entry.name
    assert csr["HOT_ROWS"] == TINY.entries
    assert csr["INDEX_BITS"] == TINY.index_bits
    assert csr.status() == {"busy": 0, "command": 0, "phase": 0}
    assert not csr.device.irq


@pytest.mark.parametrize("geometry", PRESETS.values(), ids=PRESETS)
def test_capabilities_rebuild_the_geometry(geometry):
    csr = Registers(ModelDevice(geometry))
    values: dict[str, int] = {}
    for name in ("CAP_STREAM", "CAP_TRACKER", "CAP_KEY", "CAP_SAMPLES", "CAP_BEATS"):
        values |= register(name).unpack(csr[name])
    values["banks"], values["sets"] = 1 << values.pop("log2_banks"), 1 << values.pop("log2_sets")
    assert Geometry(name=geometry.name, **values) == geometry


@pytest.mark.parametrize(
    "offset", [0x01C, 0x060, 0x0FC, counter_offset(COUNTERS[-1].name) + 8, 0x002, 0xFFC, 0x1000, -4]
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
    for name in ("CONTROL", "IRQ_ENABLE"):
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
    csr["HOT_ROWS"] = TINY.entries + 1
    assert csr["ERROR"] == Error.COMMAND_CODE | Error.HOT_ROWS_RANGE
    assert csr.irq() == Irq.ERROR
    csr["ERROR"] = int(Error.COMMAND_CODE | Error.INDEX_RANGE)
    assert csr["ERROR"] == Error.HOT_ROWS_RANGE
    csr["ERROR"] = 0
    assert csr["ERROR"] == Error.HOT_ROWS_RANGE
    csr["HOT_ROWS"] = TINY.entries + 1
    assert csr.irq() == Irq.ERROR, "an error that was set already is reported again"


def test_stream_errors_reach_the_registers(csr, batches):
    wrong = batches[0].copy()
    wrong[0] |= np.uint64(1) << np.uint64(illegal_bits(TINY)[0])
    send(csr.device, [batches[1], wrong])
    assert csr.irq() == Irq.BATCH_DONE | Irq.ERROR
    assert csr.errors() == Error.INDEX_RANGE
    send(csr.device, [batches[1]])
    assert csr.irq() == Irq.BATCH_DONE and csr["ERROR"] == 0


@pytest.mark.parametrize("code", [0, 6, 255])
def test_an_unknown_command_is_an_error(csr, code):
    csr["COMMAND"] = code
    assert csr.irq() == Irq.ERROR
    assert csr.errors() == Error.COMMAND_CODE


def test_hot_rows_sets_the_budget_and_clears(csr, batches):
    send(csr.device, batches)
    csr.irq()
    csr["HOT_ROWS"] = 9
    assert csr.irq() == Irq.COMMAND_DONE
    assert csr["HOT_ROWS"] == 9 and csr["INDEX_BITS"] == 2
    assert not csr.device.core.dump().any()
    csr["HOT_ROWS"] = TINY.entries + 1
    assert csr.irq() == Irq.ERROR and csr.errors() == Error.HOT_ROWS_RANGE
    assert csr["HOT_ROWS"] == 9 and csr["INDEX_BITS"] == 2


# Streams


def test_phase_is_the_mini_batches(csr, batches):
    learned = send(csr.device, batches)
    assert csr.status()["phase"] == Phase.LEARN
    assert len(learned.popular) == len(learned.nonpopular) == 0
    assert learned.popular_ends.tolist() == learned.nonpopular_ends.tolist() == [0] * len(batches)

    csr["CONTROL"] = Phase.CLASSIFY
    assert csr.status()["phase"] == Phase.LEARN, "no mini-batch has started since"
    results = send(csr.device, batches)
    assert csr.status()["phase"] == Phase.CLASSIFY
    assert len(results.popular) and len(results.nonpopular)
    assert results.popular.dtype == results.nonpopular.dtype == np.uint64
    assert results.popular_ends.dtype == results.nonpopular_ends.dtype == np.int64
    starts = [np.concatenate([[0], ends[:-1]]) for ends in (results.popular_ends, results.nonpopular_ends)]
    for number, batch in enumerate(batches):
        one = send(csr.device, [batch])
        assert np.array_equal(one.popular, results.popular[starts[0][number] : results.popular_ends[number]])
        assert np.array_equal(one.nonpopular, results.nonpopular[starts[1][number] : results.nonpopular_ends[number]])
        assert len(one.popular) + len(one.nonpopular) == len(batch)


def test_no_mini_batch_gives_no_packet(csr):
    results = csr.device.stream(np.empty(0, np.uint64), np.empty(0, np.int64))
    assert [len(part) for part in (results.popular, results.popular_ends)] == [0, 0]
    assert csr["IRQ_STATUS"] == 0


def test_malformed_streams_are_refused(device):
    words = np.zeros(4, np.uint64)
    for wrong in ([2, 2, 4], [0, 4], [3], [5], [4, 2], []):
        with pytest.raises(ValueError, match="ends must increase from above 0 to the 4 words"):
            device.stream(words, np.array(wrong, np.int64))
    with pytest.raises(ValueError, match=r"words must be uint64 \[n\], not int64 \[4\]"):
        device.stream(words.astype(np.int64), np.array([4]))


# Counters


def test_counters_are_seen_through_snapshots(csr, batches):
    send(csr.device, batches)
    assert csr.counter("lookups") == 0
    csr["COMMAND"] = Command.SNAPSHOT
    lookups = sum(len(batch) for batch in batches)
    assert (csr.counter("batches"), csr.counter("lookups")) == (len(batches), lookups)
    for counter in COUNTERS:
        assert csr.counter(counter.name) == csr.device.core.counters.get(counter.name, 0)
    csr["COMMAND"] = Command.RESET_COUNTERS
    assert csr.counter("lookups") == lookups, "the snapshot stays"
    csr["COMMAND"] = Command.SNAPSHOT
    assert csr.counter("lookups") == 0


def test_a_counter_has_64_bits(csr):
    csr.device.core.counters["lookups"] = 0x1_2345_6789
    csr["COMMAND"] = Command.SNAPSHOT
    assert csr["COUNTER_LOOKUPS_LO"] == 0x2345_6789 and csr["COUNTER_LOOKUPS_HI"] == 1


# State


def test_dump_and_restore_through_the_ports(csr, batches):
    device = csr.device
    csr["HOT_ROWS"] = 40
    send(device, batches)
    csr.irq()

    csr["COMMAND"] = Command.DUMP
    assert csr.status()["busy"] == csr.status()["command"] == 1
    assert csr.irq() == Irq(0), "not done before the packet has left"
    with pytest.raises(DeviceError, match="m_axis_state holds 16 rows of 4 entries, not 8 of 4"):
        device.receive_state(8, 4)
    entries = device.receive_state(16, 4)
    assert csr.irq() == Irq.COMMAND_DONE and csr.status()["busy"] == 0
    assert np.array_equal(entries, device.core.dump()) and entries.any()

    csr["COMMAND"] = Command.CLEAR
    assert not device.core.dump().any()
    csr.irq()
    csr["COMMAND"] = Command.RESTORE
    assert csr.status()["busy"] == 1 and csr.irq() == Irq(0)
    device.send_state(entries)
    assert csr.irq() == Irq.COMMAND_DONE and csr.status()["busy"] == 0
    assert np.array_equal(device.core.dump(), entries)
    assert csr["ERROR"] == 0


def test_restore_errors_reach_the_registers(csr):
    csr["HOT_ROWS"] = 40
    csr.irq()
    csr["COMMAND"] = Command.RESTORE
    csr.device.send_state(np.full((17, 4), 1 << 63, np.uint64))
    assert csr.irq() == Irq.COMMAND_DONE | Irq.ERROR
    assert csr.errors() == Error.RESTORE_LENGTH | Error.RESTORE_ENTRY
    assert not csr.device.core.dump().any()


@pytest.mark.parametrize("pending", [Command.DUMP, Command.RESTORE])
def test_a_busy_core_ignores_commands_and_takes_no_input(csr, batches, pending):
    send(csr.device, batches)
    before = csr.device.core.dump()
    csr["COMMAND"] = pending
    csr.irq()
    for code in (Command.CLEAR, Command.DUMP, Command.RESTORE, Command.RESET_COUNTERS):
        csr["COMMAND"] = code
        assert csr.irq() == Irq.ERROR and csr.errors() == Error.COMMAND_BUSY
    for hot_rows in (5, TINY.entries + 1):
        csr["HOT_ROWS"] = hot_rows
        assert csr.errors() == Error.COMMAND_BUSY and csr["HOT_ROWS"] == TINY.entries
    csr["COMMAND"] = 77
    assert csr.errors() == Error.COMMAND_CODE
    assert csr.irq() == Irq(0)
    csr["COMMAND"] = Command.SNAPSHOT
    assert csr.irq() == Irq.COMMAND_DONE and csr["ERROR"] == 0
    assert csr.counter("batches") == len(batches)
    with pytest.raises(DeviceTimeout, match=f"s_axis_lookup is not ready: {pending.name} awaits its packet"):
        send(csr.device, batches)
    assert np.array_equal(csr.device.core.dump(), before)


def test_state_without_its_command_times_out(device):
    with pytest.raises(DeviceTimeout, match="m_axis_state has no packet: write DUMP to COMMAND first"):
        device.receive_state(16, 4)
    with pytest.raises(DeviceTimeout, match="s_axis_state is not ready: write RESTORE to COMMAND first"):
        device.send_state(np.zeros((16, 4), np.uint64))


@pytest.mark.parametrize("entries", [np.zeros((16, 5), np.uint64), np.zeros((16, 4)), np.zeros((0, 4), np.uint64)])
def test_state_of_another_shape_is_refused(csr, entries):
    csr["COMMAND"] = Command.RESTORE
    with pytest.raises(ValueError, match=r"entries must be uint64 \[rows, 4\] with a row at least"):
        csr.device.send_state(entries)


def test_a_closed_device_says_so(csr):
    csr.device.close()
    csr.device.close()
    for call in (
        lambda: csr["ID"],
        lambda: csr.device.stream(np.zeros(0, np.uint64), np.zeros(0, np.int64)),
        lambda: csr.device.receive_state(16, 4),
        lambda: csr.device.send_state(np.zeros((16, 4), np.uint64)),
    ):
        with pytest.raises(DeviceError, match="the device was closed; open another one"):
            call()


def test_both_models_answer_alike(batches):
    answers = []
    for reference in (False, True):
        csr = Registers(ModelDevice(TINY, reference=reference))
        csr["HOT_ROWS"] = 48
        send(csr.device, batches)
        csr["CONTROL"] = Phase.CLASSIFY
        results = send(csr.device, batches)
        csr["COMMAND"] = Command.SNAPSHOT
        counters = [csr.counter(counter.name) for counter in COUNTERS]
        answers.append((results.popular.tolist(), results.nonpopular.tolist(), counters))
    assert answers[0] == answers[1]
    assert answers[0][0]
