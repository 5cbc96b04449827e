"""BagReducer, Verilated, against the golden model: all modes, random stalls on both sides, and how fast it is."""

from __future__ import annotations

import numpy as np
import pytest

from hotline_hw.shell.rows.bag_reducer import BagReducer
from hotline_hw.shell.rows.float_add import FloatAdder
from hotline_hw.shell.rows.float_div import division_latency
from hotline_hw.spec.descriptors import MAX_MEAN_ROWS
from hotline_sim.model.reduce import from_bfloat16, pool
from hotline_sim.verilated.block import Run, VerilatedBlock
from tests.support.row_beats import geometry, known_bits, row_beats
from tests.support.tools import needs

pytestmark = [needs("verilator"), pytest.mark.slow]  # a Verilator build a bus width, once

WIDTHS = (128, 512)
# Elements of a row; of bfloat16 a granule has eight.
SIZES = (4, 8, 12, 16, 20, 36, 64, 100, 128, 256)


@pytest.fixture(scope="module", params=WIDTHS)
def reducer(request) -> tuple[int, VerilatedBlock]:
    """A bus width and its BagReducer."""
    block = VerilatedBlock(
        BagReducer(geometry(request.param)), f"bag_reducer-{request.param}", settings=("pool", "mean", "bf16")
    )
    return request.param, block


def random_rows(rng: np.random.Generator, count: int, size: int, bf16: bool) -> tuple[np.ndarray, np.ndarray]:
    """Rows as they are in memory, and as float32: of one magnitude, of all, and of any bits at all."""
    values = rng.standard_normal((count, size)).astype(np.float32)
    values[count // 3 :] *= np.float32(2.0) ** rng.integers(-120, 120, (count - count // 3, 1)).astype(np.float32)
    anything = rng.integers(0, 1 << 32, values.shape, dtype=np.uint32).view(np.float32)
    rows = np.where(rng.random((count, 1)) < 0.1, anything, values)
    if bf16:
        raw = (rows.view(np.uint32) >> 16).astype(np.uint16)
        return raw, from_bfloat16(raw)
    return rows, rows


def pooled(reducer: tuple[int, VerilatedBlock], raw: np.ndarray, rows: np.ndarray, lengths: np.ndarray, **modes) -> Run:
    """Runs the bags, in two packets; the sums that came are compared with the model's."""
    width, block = reducer
    g = geometry(width)
    mean, bf16 = modes.pop("mean", False), raw.dtype == np.uint16
    packets = np.array([1, len(lengths) - 1])
    expected = row_beats(g, pool(rows, lengths, mean=mean), np.ones_like(lengths), packets)
    settings = {"pool": 1, "mean": int(mean), "bf16": int(bf16)}
    run = block.run(row_beats(g, raw, lengths, packets), len(expected), settings=settings, **modes)
    assert len(run.outputs) == len(expected), f"{len(run.outputs)} beats of {len(expected)} came: it hangs"
    wrong = np.flatnonzero((known_bits(g, run.outputs) != known_bits(g, expected)).any(axis=1))
    assert not len(wrong), (
        f"beat {wrong[0]} is {[hex(word) for word in run.outputs[wrong[0]]]}, "
        f"not {[hex(word) for word in expected[wrong[0]]]}"
    )
    return run


@pytest.mark.parametrize("mean", [False, True], ids=["sum", "mean"])
@pytest.mark.parametrize(
    ("size", "bf16"), [(size, bf16) for size in SIZES for bf16 in (False, True) if not (bf16 and size % 8)]
)
def test_bags_are_as_in_the_model(reducer, size, bf16, mean):
    for seed, (offer, take) in enumerate([(1.0, 1.0), (0.5, 0.9), (0.9, 0.3), (0.1, 1.0)]):
        rng = np.random.default_rng([size, seed])
        lengths = np.concatenate([[1, 1, 2, 1, 70], rng.integers(1, 9, 40)])
        raw, rows = random_rows(rng, int(lengths.sum()), size, bf16)
        pooled(reducer, raw, rows, lengths, mean=mean, seed=seed, offer=offer, take=take)


def test_the_mean_of_the_longest_bag(reducer):
    rng = np.random.default_rng(7)
    lengths = np.array([3, MAX_MEAN_ROWS, 1, MAX_MEAN_ROWS - 1])
    raw, rows = random_rows(rng, int(lengths.sum()), 20, False)
    pooled(reducer, raw, rows, lengths, mean=True)


@pytest.mark.parametrize(("offer", "take"), [(1.0, 1.0), (0.6, 0.6)])
def test_without_pooling_beats_pass(reducer, offer, take):
    width, block = reducer
    rng = np.random.default_rng(8)
    lengths = rng.integers(1, 5, 100)
    raw, _ = random_rows(rng, int(lengths.sum()), 36, False)
    beats = row_beats(geometry(width), raw, lengths, np.array([50, 50]))
    # bf16 and mean are of no effect.
    run = block.run(beats, len(beats), settings={"pool": 0, "mean": 1, "bf16": 1}, offer=offer, take=take)
    assert np.array_equal(run.outputs, beats)
    if offer == take == 1.0:
        assert run.cycles == len(beats) + 1


def test_a_beat_a_cycle(reducer):
    """Rows that are long enough go in without a pause, also where every bag is a single row; short ones take as long
    as an addition."""
    width, _ = reducer
    rng = np.random.default_rng(9)
    elements = width // 32
    for beats in (1, 2, 4, 5, 16):
        for lengths in (np.full(30, 10), np.full(100, 1)):
            count = int(lengths.sum())
            raw, rows = random_rows(rng, count, beats * elements, False)
            run = pooled(reducer, raw, rows, lengths)
            assert run.sending_cycles <= count * max(beats, FloatAdder.LATENCY)
            assert run.cycles <= run.sending_cycles + FloatAdder.LATENCY + beats + 1


def test_a_mean_costs_its_divisions(reducer):
    width, _ = reducer
    rng = np.random.default_rng(10)
    lengths = np.full(20, 6)
    raw, rows = random_rows(rng, 120, 4 * width // 32, False)
    run = pooled(reducer, raw, rows, lengths, mean=True)
    # All rows but the first go in beside no division; the first row goes in behind them.
    assert run.cycles <= 20 * (4 * division_latency() + 6 * 4) + division_latency()
