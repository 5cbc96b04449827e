"""The model backend at its streams: mini-batches, counters, and the tracker's state."""

from __future__ import annotations

import numpy as np
import pytest

from hotline_device.device import DeviceError, DeviceTimeout
from hotline_hw.spec.params import PRESETS
from hotline_hw.spec.regmap import COUNTERS, Command, Error, Irq, Phase
from hotline_sim.model.core_backend import ModelCore
from tests.support.registers import Registers, send

TINY = PRESETS["tiny"]


def test_phase_is_the_mini_batches(csr, batches):
    learned = send(csr.device, batches)
    assert csr.status()["phase"] == Phase.LEARN
    assert len(learned.popular) == len(learned.nonpopular) == 0
    assert learned.popular_ends.tolist() == learned.nonpopular_ends.tolist() == [0] * len(batches)

    fill(csr)
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


def test_relearn_classifies_and_learns(csr, batches):
    send(csr.device, batches)
    fill(csr)
    csr["CONTROL"] = Phase.CLASSIFY
    classified = send(csr.device, batches)
    before = csr.device.core.dump()
    csr["CONTROL"] = Phase.RELEARN
    relearned = send(csr.device, batches)
    assert csr.status()["phase"] == Phase.RELEARN and csr["ERROR"] == 0
    assert np.array_equal(relearned.popular, classified.popular) and len(relearned.popular)
    assert np.array_equal(relearned.nonpopular, classified.nonpopular)
    assert not np.array_equal(csr.device.core.dump(), before)


def test_a_mini_batch_in_phase_front_sends_nothing(csr, batches):
    csr["CONTROL"] = Phase.FRONT
    assert csr["CONTROL"] == Phase.FRONT
    many = np.unique(np.concatenate(batches) & np.uint64(0xFF_FFFF_FFFF)) | np.uint64(1 << 63)
    results = csr.device.stream(many, np.array([len(many)]))
    assert csr.errors() == Error.FRONT_LENGTH
    assert csr.status()["phase"] == Phase.FRONT
    assert not len(results.popular) + len(results.nonpopular) and len(results.popular_ends) == 1
    assert not csr.device.core.dump().any()
    csr["CONTROL"] = Phase.CLASSIFY
    send(csr.device, batches)
    assert csr["ERROR"] == 0


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


# SELECT


def select(csr: Registers) -> np.ndarray:
    csr["COMMAND"] = Command.SELECT
    return csr.device.receive_events(TINY.max_moves + 1, TINY.ways)


def fill(csr: Registers) -> None:
    """Runs SELECT until as many rows are hot as the budget allows."""
    for _ in range(TINY.hot_capacity // TINY.max_moves):
        select(csr)


def test_select_through_the_ports(csr, batches):
    send(csr.device, batches)
    csr.irq()
    csr["COMMAND"] = Command.SELECT
    assert csr.status()["busy"] == csr.status()["command"] == 1 and csr.irq() == Irq(0)
    csr["MOVE_LIMIT"] = 3  # for the next SELECT
    with pytest.raises(DeviceError, match="m_axis_state holds 9 beats of 4 words, not at most 5 of 4"):
        csr.device.receive_events(5, 4)
    events = csr.device.receive_events(9, 4)
    assert csr.irq() == Irq.COMMAND_DONE and csr.status()["busy"] == 0
    assert events.dtype == np.uint64 and events.shape == (9, 4)
    assert csr["HOT_COUNT"] == 8 == int(events[-1, 0]) & 0xFFFFFFFF
    assert csr["THRESHOLD"] == int(events[-1, 1]) & 0xFFFFFFFF > 0
    assert len(select(csr)) == 4 and csr["HOT_COUNT"] == 11
    csr["COMMAND"] = Command.SNAPSHOT
    assert (csr.counter("promotions"), csr.counter("demotions"), csr.counter("select_cycles")) == (11, 0, 0)
    csr["COMMAND"] = Command.CLEAR
    assert csr["HOT_COUNT"] == csr["THRESHOLD"] == 0


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
    csr["HOT_ROWS"] = 20
    send(device, batches)
    csr.irq()

    csr["COMMAND"] = Command.DUMP
    assert csr.status()["busy"] == csr.status()["command"] == 1
    assert csr.irq() == Irq(0), "not done before the packet has left"
    with pytest.raises(DeviceError, match="m_axis_state holds 32 rows of 4 entries, not 8 of 4"):
        device.receive_state(8, 4)
    entries = device.receive_state(32, 4)
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
    csr["HOT_ROWS"] = 20
    csr.irq()
    csr["COMMAND"] = Command.RESTORE
    csr.device.send_state(np.full((33, 4), 1 << 63, np.uint64))
    assert csr.irq() == Irq.COMMAND_DONE | Irq.ERROR
    assert csr.errors() == Error.RESTORE_LENGTH | Error.RESTORE_ENTRY
    assert not csr.device.core.dump().any()


@pytest.mark.parametrize("pending", [Command.DUMP, Command.RESTORE, Command.SELECT])
def test_a_busy_core_ignores_commands_and_takes_no_input(csr, batches, pending):
    send(csr.device, batches)
    csr["COMMAND"] = pending
    before = csr.device.core.dump()
    csr.irq()
    for code in (Command.CLEAR, Command.DUMP, Command.RESTORE, Command.SELECT, Command.RESET_COUNTERS, 77):
        csr["COMMAND"] = code
        assert csr.irq() == Irq.ERROR and csr.errors() == Error.COMMAND_BUSY
    for hot_rows in (5, TINY.hot_capacity + 1):
        csr["HOT_ROWS"] = hot_rows
        assert csr.errors() == Error.COMMAND_BUSY and csr["HOT_ROWS"] == TINY.hot_capacity
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
    with pytest.raises(DeviceTimeout, match="m_axis_state has no packet: write SELECT to COMMAND first"):
        device.receive_events(9, 4)


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
        lambda: csr.device.receive_events(9, 4),
        lambda: csr.device.send_state(np.zeros((16, 4), np.uint64)),
    ):
        with pytest.raises(DeviceError, match="the device was closed; open another one"):
            call()


def test_both_models_answer_alike(batches):
    answers = []
    for reference in (False, True):
        csr = Registers(ModelCore(TINY, reference=reference))
        csr["HOT_ROWS"] = 24
        send(csr.device, batches)
        fill(csr)
        csr["CONTROL"] = Phase.CLASSIFY
        results = send(csr.device, batches)
        csr["COMMAND"] = Command.SNAPSHOT
        counters = [csr.counter(counter.name) for counter in COUNTERS]
        answers.append((results.popular.tolist(), results.nonpopular.tolist(), counters))
    assert answers[0] == answers[1]
    assert answers[0][0]
