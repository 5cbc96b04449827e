"""Pooling: the golden model against plain loops, and BagReducer in Amaranth's simulator against the golden model."""

from __future__ import annotations

import random
import warnings

import numpy as np
import pytest
from amaranth.sim import Simulator

from hotline_hw.shell.rows.bag_reducer import BagReducer
from hotline_hw.shell.rows.float_add import canonical_nan
from hotline_sim.model.reduce import CANONICAL_NAN, divide, from_bfloat16, pool
from tests.formal.mutants import mutated
from tests.support.row_beats import geometry, known_bits, row_beats


def bits(values: np.ndarray) -> list[int]:
    return values.view(np.uint32).reshape(-1).tolist()


def test_a_sum_is_added_row_by_row():
    rng = np.random.default_rng(1)
    lengths = rng.integers(1, 20, 50)
    rows = (rng.standard_normal((lengths.sum(), 12)) * 10.0 ** rng.integers(-6, 7, (lengths.sum(), 1))).astype(
        np.float32
    )
    for mean in (False, True):
        found, at = pool(rows, lengths, mean=mean), 0
        assert found.dtype == np.float32 and found.shape == (50, 12)
        for bag, length in enumerate(lengths):
            expected = np.add.reduce(rows[at : at + length], axis=0)
            total = rows[at]
            for row in rows[at + 1 : at + length]:
                total = total + row
            assert bits(total) == bits(expected)
            assert bits(found[bag]) == bits(total / np.float32(length) if mean else total)
            at += length
    # The order counts, so that the test above has something to see.
    assert not np.array_equal(pool(rows[::-1], lengths[::-1])[::-1], pool(rows, lengths))


def test_special_values():
    inf, nan = np.float32(np.inf), np.uint32(0xFFC12345).view(np.float32)
    least = np.uint32(1).view(np.float32)
    rows = np.array([[-0.0, nan, inf, 3.0, least], [0.0, 1.0, -inf, -3.0, least]], dtype=np.float32)
    assert bits(pool(rows, [2])) == [0, CANONICAL_NAN, CANONICAL_NAN, 0, 2]
    assert bits(pool(rows[:1], [1])) == [1 << 31, CANONICAL_NAN, 0x7F800000, 0x40400000, 1]
    assert bits(pool(rows[:1], [1], mean=True)) == bits(pool(rows[:1], [1]))
    assert bits(divide(np.array([least, 3 * least, -least], np.float32), [2, 2, 4])) == [0, 2, 1 << 31]
    largest = np.finfo(np.float32).max
    assert bits(pool(np.full((2, 1), largest), [2])) == [0x7F800000]


def test_bfloat16_is_the_upper_half_of_float32():
    assert from_bfloat16(np.array([0x3F80, 0xC040, 1, 0x7F80], np.uint16)).tolist() == [1.0, -3.0, 2.0**-133, np.inf]


def test_what_cannot_be_pooled_is_refused():
    rows = np.zeros((3, 4), dtype=np.float32)
    for lengths in ([1, 1], [3, 0], [4, -1], [[3]]):
        with pytest.raises(ValueError, match="bag_lengths must be positive and sum up to 3 rows"):
            pool(rows, lengths)
    with pytest.raises(ValueError, match=r"rows must be float32 \[n, D\], not float64"):
        pool(rows.astype(np.float64), [3])
    with pytest.raises(ValueError, match="bag_lengths must be 4096 at most for means, not 4097"):
        pool(np.zeros((4097, 1), dtype=np.float32), [4097], mean=True)
    assert pool(rows[:0], []).shape == (0, 4)


def test_model_and_hardware_name_the_same_nan():
    assert canonical_nan() == CANONICAL_NAN


def bags(mean: int, bf16: int) -> tuple[np.ndarray, np.ndarray]:
    """The beats of a few bags, in two packets, and those of their sums or means."""
    g = geometry(128)
    rng = np.random.default_rng(mean + 2 * bf16)
    lengths, packets = np.array([1, 3, 2, 1, 1, 1, 5]), np.array([2, 5])
    raw = rows = rng.standard_normal((lengths.sum(), 24)).astype(np.float32)
    if bf16:
        raw = rng.integers(0, 1 << 16, (lengths.sum(), 8), dtype=np.uint16)
        raw[0] = 1 << 15  # -0, a bag of its own
        rows = from_bfloat16(raw)
    sums = pool(rows, lengths, mean=bool(mean))
    return row_beats(g, raw, lengths, packets), row_beats(g, sums, np.ones_like(lengths), packets)


def simulated(dut: BagReducer, sent: np.ndarray, wanted: int, *, seed: int, mean: int, bf16: int) -> np.ndarray:
    """The beats that come, of which `wanted` are awaited; what is offered stays, and what is idle says so."""
    draw, came = random.Random(seed), []

    async def bench(ctx):
        for port, value in ((dut.pool, 1), (dut.mean, mean), (dut.bf16, bf16)):
            ctx.set(port, value)
        at, now, offered, held = 0, 0, False, None
        while len(came) < wanted:
            offered = at < len(sent) and (offered or draw.random() < 0.7)
            ready = draw.random() < 0.7
            ctx.set(dut.input.valid, offered)
            if offered:
                value = sum(int(word) << 32 * index for index, word in enumerate(sent[at]))
                ctx.set(dut.input.payload, dut.input.payload.shape().from_bits(value))
            ctx.set(dut.output.ready, ready)
            valid = ctx.get(dut.output.valid)
            shown = ctx.get(dut.output.payload.as_value()) if valid else None
            assert held is None or shown == held, "a beat that is offered stays"
            assert ctx.get(dut.busy) or (at == 0 and not valid), "busy while something is inside"
            held = shown if valid and not ready else None
            if valid and ready:
                came.append([shown >> 32 * index & 0xFFFFFFFF for index in range(sent.shape[1])])
            if offered and ctx.get(dut.input.ready):
                at, offered = at + 1, False
            await ctx.tick()
            now += 1
            assert now < 40 * (len(sent) + wanted), "it hangs"
        ctx.set(dut.input.valid, 0)
        assert at == len(sent) and not ctx.get(dut.busy) and not ctx.get(dut.output.valid)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        simulator = Simulator(dut)
    simulator.add_clock(1e-8)
    simulator.add_testbench(bench)
    simulator.run()
    return np.array(came, dtype=np.uint32)


@pytest.mark.parametrize(("mean", "bf16"), [(0, 0), (0, 1), (1, 0)])
@pytest.mark.parametrize("seed", range(3))
def test_reducer_in_amaranths_simulator(seed, mean, bf16):
    g = geometry(128)
    sent, expected = bags(mean, bf16)
    came = simulated(BagReducer(g), sent, len(expected), seed=seed, mean=mean, bf16=bf16)
    assert np.array_equal(known_bits(g, came), known_bits(g, expected))


MUTANTS = {
    "a row does not wait for the one before": ("goes.eq(first | ~sums.pending)", "goes.eq(1)"),
    "a sum leaves before its last addition": ("leaving & ~sums.pending, leaves", "leaving, leaves"),
    "the next bag does not wait for a sum's place": ("first & behind &", "first &"),
    "what is written is not read in the same cycle": ("write.en & (write.addr == self.read_at)", "0"),
    "a bag is added to the one before": ("Mux(self.first, _MINUS_ZERO, ", "Mux(0, 0, "),
    "a sum begins with +0": ("_MINUS_ZERO = 1 << 31", "_MINUS_ZERO = 0"),
    "the mean of one row more": ("divisor.eq(more_rows)", "divisor.eq(more_rows + 1)"),
    "the rows of all bags are counted": ("rows.eq(Mux(bag_end, 0, more_rows))", "rows.eq(more_rows)"),
    "the halves of a beat are swapped": ("Mux(second, came", "Mux(~second, came"),
}  # fmt: skip


@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_broken_reducer_is_caught(mutant):
    g, caught = geometry(128), 0
    for mean, bf16 in ((0, 0), (0, 1), (1, 0)):
        sent, expected = bags(mean, bf16)
        try:
            dut = mutated(BagReducer, *MUTANTS[mutant])(g)
            came = simulated(dut, sent, len(expected), seed=1, mean=mean, bf16=bf16)
            caught += not np.array_equal(known_bits(g, came), known_bits(g, expected))
        except AssertionError:
            caught += 1
    assert caught
