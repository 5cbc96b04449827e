"""The key hash, written from `README.md` beside this file. It imports nothing of the project.

`python tests/vectors/key_hash.py` prints the vectors of `interface.toml`. Bits are strings here, the highest one first,
and the constant is calculated, so that it shares no expression with `hotline_hw.spec.feistel`.
"""

from __future__ import annotations

from math import isqrt

GOLDEN = (isqrt(5 << 128) - (1 << 64)) // 2  # 2^64 / golden ratio = 2^64 * (sqrt(5) - 1) / 2, rounded down
WIDTHS = 6, 8, 14, 16, 20, 32, 36, 38, 40
"""Widths of a key. 40 is that of `tiny` and `kaggle`, 36 that of `edge`."""


def _bits(value: int, width: int) -> str:
    return format(value % 2**width, f"0{width}b")


def _rotated(bits: str, amount: int) -> str:
    return bits[amount:] + bits[:amount]


def _folded(bits: str, amount: int) -> str:
    """Exclusive-or with itself, shifted right."""
    moved = "0" * amount + bits[: len(bits) - amount]
    return "".join("1" if one != other else "0" for one, other in zip(bits, moved, strict=True))


def _amount(width: int, twentieths: int) -> int:
    return width * twentieths // 20 or 1


def round_function(half: int, number: int, width: int) -> int:
    """F of README.md: a half in, a half out."""
    constant = int(_bits(GOLDEN * (2 * number + 1), 64)[:width], 2)
    bits = _bits(half, width)
    bits = _bits(half + int(_rotated(bits, _amount(width, 7)), 2) + constant, width)
    bits = _folded(bits, _amount(width, 9))
    bits = _bits(int(bits, 2) + int(_rotated(bits, _amount(width, 13)), 2), width)
    return int(_folded(bits, _amount(width, 11)), 2)


def mixed(key: int, key_bits: int) -> int:
    """The mixed key."""
    width = key_bits // 2
    bits = _bits(key, key_bits)
    left, right = int(bits[:width], 2), int(bits[width:], 2)
    for number in (0, 1, 2, 3):
        left, right = right, left ^ round_function(right, number, width)
    return int(_bits(left, width) + _bits(right, width), 2)


def keys(key_bits: int) -> list[int]:
    """Zero, ones, the lowest and the highest bit, and digits in a row."""
    return [0, 1, 2**key_bits - 1, 2 ** (key_bits - 1), 0x123456789A % 2**key_bits, 0xFEDCBA9876 % 2**key_bits]


if __name__ == "__main__":
    for key_bits in WIDTHS:
        pairs = ", ".join(f"[0x{key:x}, 0x{mixed(key, key_bits):x}]" for key in keys(key_bits))
        print(f"{key_bits} = [{pairs}]")
