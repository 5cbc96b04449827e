"""Sums: of operands that stay, in several cycles, and of single bits."""

from __future__ import annotations

from functools import reduce
from operator import add

from amaranth.hdl import Array, Cat, Module, Signal, Value

__all__ = ["add_in_halves", "count_ones"]

_HALF = 32
_COUNTED = 4  # bits that are counted in one LUT


def add_in_halves(m: Module, a: Value, b: Value, name: str) -> Value:
    """The sum of two operands of 64 bits or less, modulo 2^64, two cycles after both are there, while they stay.

    The carry has half the way in a cycle.
    """
    low = Signal(_HALF + 1, name=f"{name}_low")
    whole = Signal(64, name=f"{name}_sum")
    m.d.sync += [low.eq(a[:_HALF] + b[:_HALF]), whole.eq(Cat(low[:_HALF], a[_HALF:] + b[_HALF:] + low[_HALF]))]
    return whole


def count_ones(bits: Value) -> Value:
    """How many bits are set. A few at a time are looked up, and these counts are added.

    Of a sum of single bits synthesis makes a tree of carry-save adders, which has more levels.
    """
    groups = [bits[low : low + _COUNTED] for low in range(0, len(bits), _COUNTED)]
    return reduce(add, (Array(value.bit_count() for value in range(1 << len(group)))[group] for group in groups))
