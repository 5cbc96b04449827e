"""Sums that take several cycles, for operands that stay."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value

__all__ = ["add_in_halves"]

_HALF = 32


def add_in_halves(m: Module, a: Value, b: Value, name: str) -> Value:
    """The sum of two operands of 64 bits or less, modulo 2^64, two cycles after both are there, while they stay.

    The carry has half the way in a cycle.
    """
    low = Signal(_HALF + 1, name=f"{name}_low")
    whole = Signal(64, name=f"{name}_sum")
    m.d.sync += [low.eq(a[:_HALF] + b[:_HALF]), whole.eq(Cat(low[:_HALF], a[_HALF:] + b[_HALF:] + low[_HALF]))]
    return whole
