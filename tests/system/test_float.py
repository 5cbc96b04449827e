"""FloatAdder and FloatDivider, Verilated, against NumPy's float32, bit for bit.

Each run draws new numbers; SEED=n draws those of a run that failed.
"""

from __future__ import annotations

import os
import random

import numpy as np
import pytest

from hotline_hw.shell.rows.float_add import FloatAdder
from hotline_hw.shell.rows.float_div import FloatDivider, division_latency
from hotline_sim.model.reduce import canonical, divide
from hotline_sim.verilated.block import VerilatedBlock
from tests.formal.mutants import mutated
from tests.support.tools import needs

pytestmark = [needs("verilator"), pytest.mark.slow]  # Verilator builds, once

MANTISSA, EXPONENTS, SIGN = 23, 255, 1 << 31
LANES = 4


@pytest.fixture
def seed() -> int:
    """Of the numbers: SEED where that is set."""
    return int(os.environ.get("SEED", random.SystemRandom().randrange(1 << 32)))


def special_values() -> np.ndarray:
    """Bit patterns of every class and at every border between two, with both signs."""
    mantissas = [0, 1, 2, 3, 1 << 21, (1 << 22) - 1, 1 << 22, (1 << 22) + 1, (1 << 23) - 2, (1 << 23) - 1]
    exponents = [0, 1, 2, 23, 24, 25, 26, 102, 125, 126, 127, 128, 150, 151, 152, 229, 253, 254, 255]
    positive = [exponent << MANTISSA | mantissa for exponent in exponents for mantissa in mantissas]
    return np.array([sign | value for sign in (0, SIGN) for value in positive], dtype=np.uint32)


def numbers(rng: np.random.Generator, exponent: np.ndarray) -> np.ndarray:
    """Bit patterns with these exponents, any sign and mantissa; of the mantissas half have few ones."""
    mantissa = rng.integers(0, 1 << MANTISSA, exponent.shape)
    sparse = rng.integers(0, 1 << MANTISSA, exponent.shape) & rng.integers(0, 1 << MANTISSA, exponent.shape)
    sparse &= -1 << rng.integers(0, MANTISSA + 1, exponent.shape)
    mantissa = np.where(rng.random(exponent.shape) < 0.5, mantissa, sparse)
    return (rng.integers(0, 2, exponent.shape) << 31 | exponent << MANTISSA | mantissa).astype(np.uint32)


def operands(rng: np.random.Generator, scale: int) -> dict[str, np.ndarray]:
    """Pairs by what they aim at, uint32 [n, 2]; 10.4 `scale` of them, and those of special values."""
    any_exponent = rng.integers(0, EXPONENTS, 2 * scale)
    near = np.clip(any_exponent + rng.integers(-27, 28, 2 * scale), 0, EXPONENTS - 1)
    first = numbers(rng, any_exponent)
    # All but the opposite of a number: the difference of their patterns is small.
    opposite = (first[:scale] ^ np.uint32(SIGN)) + rng.integers(-4, 5, scale).astype(np.uint32)
    # Half a unit in the last place, a quarter and so on, and what is next to it.
    big = rng.integers(28, EXPONENTS, 2 * scale)
    halves = (big - rng.integers(22, 27, 2 * scale)) << MANTISSA
    halves = (halves + rng.integers(-1, 2, 2 * scale)) | rng.integers(0, 2, 2 * scale) << 31
    special = special_values()
    crossed = np.stack(np.meshgrid(special, special), axis=-1).reshape(-1, 2)
    some = rng.choice(special, scale)
    return {
        "special values": crossed,
        "any bits": rng.integers(0, 1 << 32, (2 * scale, 2), dtype=np.uint32),
        "near exponents": np.column_stack([first, numbers(rng, near)]),
        "equal exponents": np.column_stack([first[:scale], numbers(rng, any_exponent[:scale])]),
        "cancellation": np.column_stack([first[:scale], opposite]),
        "halves": np.column_stack([numbers(rng, big), halves.astype(np.uint32)]),
        "subnormals": numbers(rng, rng.integers(0, 4, (scale, 2))),
        "overflow": numbers(rng, rng.integers(250, EXPONENTS, (scale * 2 // 5, 2))),
        "special and any": np.column_stack([some, rng.integers(0, 1 << 32, scale, dtype=np.uint32)]),
    }


def first_wrong_sum(block: VerilatedBlock, pairs: dict[str, np.ndarray]) -> str | None:
    """Of the pairs in turn, the first whose sum is not NumPy's, in words."""
    latency = FloatAdder.LATENCY
    for group, operand in pairs.items():
        with np.errstate(all="ignore"):
            expected = canonical(operand[:, 0].view(np.float32) + operand[:, 1].view(np.float32)).view(np.uint32)
        found = block.run(np.pad(operand, ((0, latency), (0, 0))), len(operand) + latency).outputs[latency:, 0]
        wrong = np.flatnonzero(found != expected)
        if len(wrong):
            at = wrong[0]
            a, b = operand[at].tolist()
            return f"{group}: {a:#010x} + {b:#010x} gave {found[at]:#010x}, not {expected[at]:#010x}; {len(wrong)} such"
    return None


def test_sums_are_those_of_numpy(seed):
    block = VerilatedBlock(FloatAdder(), "float_adder")
    pairs = operands(np.random.default_rng(seed), 1_000_000)
    assert sum(map(len, pairs.values())) >= 10_000_000
    wrong = first_wrong_sum(block, pairs)
    assert wrong is None, f"{wrong} (SEED={seed})"


ADDER_MUTANTS = {
    "no sticky bit": ("aligned.eq((addend >> moves) | lost)", "aligned.eq(addend >> moves)"),
    "half is rounded up": ("(guard & (kept[0] | sticky))", "guard"),
    "subnormal sums are flushed": ("mantissa.eq(moved)", "mantissa.eq(Mux(moved[-1], moved, 0))"),
}


@pytest.mark.parametrize("mutant", ADDER_MUTANTS)
def test_a_broken_adder_is_caught(mutant, seed):
    block = VerilatedBlock(mutated(FloatAdder, *ADDER_MUTANTS[mutant])(), "broken_float_adder")
    assert first_wrong_sum(block, operands(np.random.default_rng(seed), 20_000)) is not None, f"SEED={seed}"


def test_quotients_are_those_of_numpy(seed):
    block = VerilatedBlock(FloatDivider(LANES), "float_divider")
    rng = np.random.default_rng(seed)
    rounds = 300_000
    divisors = rng.integers(1, 4097, rounds, dtype=np.uint32)
    divisors[::5] = 1 << rng.integers(0, 13, len(divisors[::5]))
    divisors[1::5] = rng.integers(1, 40, len(divisors[1::5]))
    dividends = rng.integers(0, 1 << 32, (rounds, LANES), dtype=np.uint32)
    dividends[::3] = numbers(rng, rng.integers(0, 30, dividends[::3].shape))  # quotients that are subnormal
    dividends[1::3, 0] = rng.choice(special_values(), len(dividends[1::3]))
    # What a float times the divisor is, where that is exact or nearly: quotients at a number or half way between two.
    with np.errstate(all="ignore"):
        product = dividends[2::3, 1].view(np.float32) * divisors[2::3].astype(np.float32)
    dividends[2::3, 1] = product.view(np.uint32)
    special = special_values()  # each over each of the divisors at a border
    borders = [1, 2, 3, 4, 5, 7, 8, 9, 2047, 2048, 2049, 3071, 3072, 3073, 4094, 4095, 4096]
    crossed = np.tile(special.reshape(-1, LANES), (len(borders), 1))
    dividends = np.concatenate([dividends, crossed])
    divisors = np.concatenate([divisors, np.repeat(np.array(borders, np.uint32), len(special) // LANES)])

    run = block.run(np.column_stack([dividends, divisors]), len(dividends))
    assert len(run.outputs) == len(dividends)
    assert run.cycles == len(dividends) * division_latency() + 1
    expected = divide(dividends.view(np.float32), divisors[:, None]).view(np.uint32)
    wrong = np.argwhere(run.outputs != expected)
    if len(wrong):
        at, lane = wrong[0]
        pytest.fail(
            f"{dividends[at, lane]:#010x} / {divisors[at]} gave {run.outputs[at, lane]:#010x}, "
            f"not {expected[at, lane]:#010x}; {len(wrong)} such (SEED={seed})"
        )
