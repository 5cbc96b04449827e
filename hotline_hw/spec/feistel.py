"""The key hash: a Feistel network that mixes (table, row) keys and can be inverted. Plain data and arithmetic.

The network is invertible, so bank, set and tag together *are* the key. Two keys never alias, and software can
turn an entry of the tracker back into its row. `mix` and `unmix` work on Python integers and on NumPy uint64
arrays alike. `KeyHash` is the same network in hardware, two cycles a round.

Construction: Luby and Rackoff's balanced Feistel network ("How to construct pseudorandom permutations from
pseudorandom functions", 1988), four rounds. The round function is our own: two additions and two exclusive-ors.
It is shallow in LUTs and needs no multiplier.
"""

from __future__ import annotations

from typing import Any

__all__ = ["ROUNDS", "mix", "rotations", "round_constant", "unmix"]

ROUNDS = 4

_GOLDEN = 0x9E3779B97F4A7C15  # 2**64 / golden ratio: the customary nothing-up-my-sleeve constant


def round_constant(index: int, half_bits: int) -> int:
    """Constant that round `index` adds, `half_bits` wide."""
    return (_GOLDEN * (2 * index + 1) & 0xFFFF_FFFF_FFFF_FFFF) >> (64 - half_bits)


def rotations(half_bits: int) -> tuple[int, int, int, int]:
    """(rotate, shift, rotate, shift) amounts of the round function for halves of `half_bits` >= 3 bits."""
    return (
        max(1, half_bits * 7 // 20),
        max(1, half_bits * 9 // 20),
        max(1, half_bits * 13 // 20),
        max(1, half_bits * 11 // 20),
    )


def _round(value: Any, index: int, half_bits: int) -> Any:
    """The round function: half in, half out. It need not be invertible."""
    mask = (1 << half_bits) - 1
    first, shift, second, fold = rotations(half_bits)

    def rotate(x, amount):
        return ((x << amount) | (x >> (half_bits - amount))) & mask

    mixed = (value + rotate(value, first) + round_constant(index, half_bits)) & mask
    mixed = mixed ^ (mixed >> shift)
    mixed = (mixed + rotate(mixed, second)) & mask
    return mixed ^ (mixed >> fold)


def mix(key: Any, key_bits: int) -> Any:
    """The mixed key of `key` (`key_bits` wide, even): an integer or a uint64 array, as given."""
    half_bits = key_bits // 2
    mask = (1 << half_bits) - 1
    left, right = key >> half_bits, key & mask
    for index in range(ROUNDS):
        left, right = right, left ^ _round(right, index, half_bits)
    return left << half_bits | right


def unmix(mixed: Any, key_bits: int) -> Any:
    """The key whose mixed key is `mixed`: the inverse of `mix`."""
    half_bits = key_bits // 2
    mask = (1 << half_bits) - 1
    left, right = mixed >> half_bits, mixed & mask
    for index in reversed(range(ROUNDS)):
        left, right = right ^ _round(left, index, half_bits), left
    return left << half_bits | right
