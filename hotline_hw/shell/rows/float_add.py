"""FloatAdder: IEEE 754 addition."""

from __future__ import annotations

from itertools import pairwise

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

__all__ = ["FloatAdder", "canonical_nan", "leading_zeros"]

_GUARDS = 3  # bits below the mantissa: guard, round, sticky


def canonical_nan(exponent_bits: int = 8, mantissa_bits: int = 23) -> int:
    """The one NaN that this arithmetic gives: quiet, positive, without payload. 0x7FC00000 for binary32."""
    return ((2 << exponent_bits) - 1) << (mantissa_bits - 1)


def leading_zeros(m: Module, value, width: int):
    """The number of zeros above the highest one of `value`, all ones if there is none. `width`: a power of two."""
    bits: list[Signal] = []
    half = width // 2
    while half:
        empty, narrower = Signal(name=f"empty{half}"), Signal(half, name=f"narrower{half}")
        m.d.comb += [empty.eq(value[half:] == 0), narrower.eq(Mux(empty, value[:half], value[half:]))]
        bits.insert(0, empty)
        value, half = narrower, half // 2
    return Cat(bits)


class FloatAdder(wiring.Component):
    """Adds two floating-point numbers, rounded to nearest, ties to even; binary32 unless told otherwise.

    Subnormals count in full, and come out. x + -x is +0, -0 + -0 is -0. A NaN, or infinity less infinity, gives
    `canonical_nan`, whatever the operands' signs and payloads: IEEE 754 leaves these open, and processors differ.

    Ports:
        a, b: the operands. sum: that of the operands of LATENCY cycles ago.

    Throughput: an addition a cycle. Latency: LATENCY cycles.
    """

    LATENCY = 4

    def __init__(self, exponent_bits: int = 8, mantissa_bits: int = 23) -> None:
        self.exponent_bits, self.mantissa_bits = exponent_bits, mantissa_bits
        bits = 1 + exponent_bits + mantissa_bits
        super().__init__({"a": In(bits), "b": In(bits), "sum": Out(bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        exponent_bits, mantissa_bits = self.exponent_bits, self.mantissa_bits
        magnitude_bits = exponent_bits + mantissa_bits
        wide_bits = 1 + mantissa_bits + _GUARDS  # the hidden bit above, the guards below

        # What the stages hand on beside the numbers themselves.
        sign = [Signal(name=f"sign{stage}", reset_less=True) for stage in range(3)]
        subtract = [Signal(name=f"subtract{stage}", reset_less=True) for stage in range(3)]
        infinite = [Signal(name=f"infinite{stage}", reset_less=True) for stage in range(3)]
        nan = [Signal(name=f"nan{stage}", reset_less=True) for stage in range(3)]
        exponent = [Signal(exponent_bits, name=f"exponent{stage}", reset_less=True) for stage in range(2)]
        for signal in (sign, subtract, infinite, nan, exponent):
            m.d.sync += [later.eq(earlier) for earlier, later in pairwise(signal)]

        # 1. The operand of larger magnitude, and how far the smaller one lies below it. A subnormal has the least
        # exponent, 1, and no hidden bit.
        large, small = Signal.like(self.a), Signal.like(self.a)
        swap = Signal()
        m.d.comb += [
            swap.eq(self.b[:magnitude_bits] > self.a[:magnitude_bits]),
            large.eq(Mux(swap, self.b, self.a)),
            small.eq(Mux(swap, self.a, self.b)),
        ]
        high, low = large[mantissa_bits:-1], small[mantissa_bits:-1]
        most = (1 << exponent_bits) - 1
        opposed = large[-1] ^ small[-1]
        larger, smaller = Signal(mantissa_bits + 1, reset_less=True), Signal(mantissa_bits + 1, reset_less=True)
        distance = Signal(exponent_bits, reset_less=True)
        m.d.sync += [
            larger.eq(Cat(large[:mantissa_bits], high != 0)),
            smaller.eq(Cat(small[:mantissa_bits], low != 0)),
            distance.eq(high - low - ((high != 0) & (low == 0))),
            exponent[0].eq(Mux(high == 0, 1, high)),
            sign[0].eq(large[-1]),
            subtract[0].eq(opposed),
            infinite[0].eq(high == most),
            nan[0].eq((high == most) & ((large[:mantissa_bits] != 0) | (opposed & (low == most)))),
        ]

        # 2. The smaller one moved down, what falls off told by the lowest bit; then sum or difference.
        moves = Signal(range(wide_bits + 1))
        addend, aligned = Signal(wide_bits), Signal(wide_bits)
        lost = Signal()
        falls_off = ~(Const((1 << wide_bits) - 1) << moves)[:wide_bits]
        total = Signal(wide_bits + 1, reset_less=True)
        m.d.comb += [
            moves.eq(Mux(distance > wide_bits, wide_bits, distance)),
            addend.eq(Cat(Const(0, _GUARDS), smaller)),
            lost.eq((addend & falls_off) != 0),
            aligned.eq((addend >> moves) | lost),
        ]
        wide_larger = Cat(Const(0, _GUARDS), larger)
        m.d.sync += total.eq(Mux(subtract[0], wide_larger - aligned, wide_larger + aligned))

        # 3. Moved up until the highest bit, the carry's, is one, or as far as the exponent goes down. The exponent is
        # told less one, which the hidden bit will add.
        width = 1 << wide_bits.bit_length()
        zeros = leading_zeros(m, Cat(Const(0, width - len(total)), total), width)
        ups = Signal(len(zeros))
        moved = Signal(wide_bits + 1)
        mantissa = Signal(wide_bits + 1, reset_less=True)
        scale = Signal(exponent_bits, reset_less=True)
        m.d.comb += [ups.eq(Mux(zeros > exponent[1], exponent[1], zeros)), moved.eq(total << ups)]
        m.d.sync += [mantissa.eq(moved), scale.eq(Mux(moved[-1], exponent[1] - ups, 0))]

        # 4. Rounded. A carry out of the mantissa goes into the exponent, as it should.
        kept, guard, sticky = mantissa[_GUARDS + 1 :], mantissa[_GUARDS], mantissa[:_GUARDS].any()
        rounded = Signal(magnitude_bits)
        m.d.comb += rounded.eq(Cat(Const(0, mantissa_bits), scale) + kept + (guard & (kept[0] | sticky)))
        overflow = infinite[2] | rounded[mantissa_bits:].all()
        zero = (mantissa == 0) & subtract[2]
        with m.If(nan[2]):
            m.d.sync += self.sum.eq(canonical_nan(exponent_bits, mantissa_bits))
        with m.Else():
            m.d.sync += self.sum.eq(
                Cat(Mux(overflow, most << mantissa_bits, rounded)[:magnitude_bits], sign[2] & ~zero)
            )
        return m
