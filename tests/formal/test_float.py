"""FloatAdder and FloatDivider give the number next to the exact one, of two the even one: proven for small formats.

The reference is the definition, not an algorithm. Finite numbers are whole multiples of the least subnormal. A result
is right if the exact one is no farther from it than half way to its neighbours, and not half way unless it is even.
Infinity stands for the number that would come next. Exponent and mantissa have few bits here, but all there are in
binary32 enter the blocks as parameters, in the same expressions.

Neither block's output depends on what came before its operands, so the run of one operation is checked, to its end.
"""

from __future__ import annotations

import pytest
from amaranth.hdl import Assert, Assume, Cover, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from hotline_hw.shell.rows.float_add import FloatAdder, canonical_nan
from hotline_hw.shell.rows.float_div import FloatDivider, division_latency
from hotline_sim.formal import PropertyFailed, check, cover, first_value
from tests.formal.mutants import mutated


class Format:
    """Numbers of an exponent and a mantissa of so many bits."""

    def __init__(self, exponent_bits: int, mantissa_bits: int) -> None:
        self.exponent_bits, self.mantissa_bits = exponent_bits, mantissa_bits
        self.bits = 1 + exponent_bits + mantissa_bits
        self.infinity = ((1 << exponent_bits) - 1) << mantissa_bits
        self.nan = canonical_nan(exponent_bits, mantissa_bits)

    def value(self, m: Module, magnitude, name: str) -> Signal:
        """What a magnitude up to infinity is, in least subnormals."""
        value = Signal(self.mantissa_bits + (1 << self.exponent_bits), name=name)
        fraction, exponent = magnitude[: self.mantissa_bits], magnitude[self.mantissa_bits : self.bits - 1]
        m.d.comb += value.eq(
            Mux(
                exponent == 0,
                fraction,
                (fraction | 1 << self.mantissa_bits) << (exponent - 1).as_unsigned()[: self.exponent_bits],
            )
        )
        return value

    def parts(self, m: Module, number: Signal, name: str) -> tuple[Signal, Signal, Signal, Signal]:
        """Sign, whether it is infinity, whether it is a NaN, and its value."""
        magnitude = Signal(self.bits - 1, name=f"{name}_magnitude")
        sign, infinite, nan = (Signal(name=f"{name}_{part}") for part in ("sign", "infinite", "nan"))
        m.d.comb += [
            magnitude.eq(number),
            sign.eq(number[-1]),
            infinite.eq(magnitude == self.infinity),
            nan.eq(magnitude > self.infinity),
        ]
        return sign, infinite, nan, self.value(m, magnitude, f"{name}_value")

    def nearest(self, m: Module, result: Signal, exact, times=1) -> Signal:
        """Whether the magnitude of `result` is the one next to `exact` / `times`."""
        magnitude, below, above = (Signal(self.bits - 1, name=f"{name}_result") for name in ("the", "below", "above"))
        m.d.comb += [magnitude.eq(result), below.eq(magnitude - 1), above.eq(magnitude + 1)]
        here = self.value(m, magnitude, "here")
        from_below = (here + self.value(m, below, "value_below")) * times
        to_above = (here + self.value(m, above, "value_above")) * times
        twice, even = Signal(len(to_above) + 2), ~magnitude[0]
        right = Signal()
        m.d.comb += [
            twice.eq(exact << 1),
            right.eq(
                (magnitude <= self.infinity)
                & ((magnitude == 0) | (twice > from_below) | ((twice == from_below) & even))
                & ((magnitude == self.infinity) | (twice < to_above) | ((twice == to_above) & even))
            ),
        ]
        return right


class SumIsNearest(wiring.Component):
    """One addition.

    Ports:
        a, b: its operands.
    """

    def __init__(self, exponent_bits: int, mantissa_bits: int, dut: type[FloatAdder] = FloatAdder) -> None:
        self.format, self.dut = Format(exponent_bits, mantissa_bits), dut
        super().__init__({"a": In(self.format.bits), "b": In(self.format.bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        f = self.format
        m.submodules.dut = dut = self.dut(f.exponent_bits, f.mantissa_bits)
        # The operands come in the first cycle, what comes then is free: it must not matter.
        a, b = first_value(m, self.a), first_value(m, self.b)
        now = Signal(range(FloatAdder.LATENCY + 2))
        due = now == FloatAdder.LATENCY
        m.d.comb += [dut.a.eq(self.a), dut.b.eq(self.b)]
        m.d.sync += now.eq(Mux(now > FloatAdder.LATENCY, now, now + 1))

        a_sign, a_infinite, a_nan, a_value = f.parts(m, a, "a")
        b_sign, b_infinite, b_nan, b_value = f.parts(m, b, "b")
        exact, size, negative = (
            Signal(range(-(2 << len(a_value)), 2 << len(a_value))),
            Signal(len(a_value) + 1),
            Signal(),
        )
        m.d.comb += [
            exact.eq(Mux(a_sign, -a_value, a_value) + Mux(b_sign, -b_value, b_value)),
            negative.eq(Mux(exact == 0, a_sign & b_sign, exact < 0)),
            size.eq(Mux(exact < 0, -exact, exact)),
        ]
        nan, infinite = Signal(), Signal()
        m.d.comb += [
            nan.eq(a_nan | b_nan | (a_infinite & b_infinite & (a_sign ^ b_sign))),
            infinite.eq(~nan & (a_infinite | b_infinite)),
        ]
        right = f.nearest(m, dut.sum, size)
        finite = ~nan & ~infinite
        m.d.sync += [
            Assert(~due | ~nan | (dut.sum == f.nan), "a NaN is the canonical one"),
            Assert(~due | ~infinite | (dut.sum[:-1] == f.infinity), "an infinite operand gives infinity"),
            Assert(~due | ~infinite | (dut.sum[-1] == Mux(a_infinite, a_sign, b_sign)), "infinity's sign"),
            Assert(~due | ~finite | right, "the sum is the nearest number"),
            Assert(~due | ~finite | (dut.sum[-1] == negative), "the sum's sign"),
            Cover(due & finite & a_sign & ~b_sign & (a_value > b_value) & (b_value != 0) & (dut.sum[:-1] != a[:-1])
                  & (f.value(m, dut.sum[:-1], "rounded") != size), "a difference is rounded"),
        ]  # fmt: skip
        return m


class QuotientIsNearest(wiring.Component):
    """One division.

    Ports:
        dividend, divisor: its operands.
    """

    def __init__(
        self, exponent_bits: int, mantissa_bits: int, divisor_bits: int, dut: type[FloatDivider] = FloatDivider
    ) -> None:
        self.format, self.divisor_bits, self.dut = Format(exponent_bits, mantissa_bits), divisor_bits, dut
        super().__init__({"dividend": In(self.format.bits), "divisor": In(divisor_bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        f = self.format
        m.submodules.dut = dut = self.dut(1, f.exponent_bits, f.mantissa_bits, self.divisor_bits)
        dividend, divisor = first_value(m, self.dividend), first_value(m, self.divisor)
        latency = division_latency(f.mantissa_bits)
        now = Signal(range(latency + 2))
        m.d.comb += [
            dut.input.valid.eq(now == 0),
            dut.input.payload.dividends[0].eq(self.dividend),
            dut.input.payload.divisor.eq(self.divisor),
            dut.output.ready.eq(1),
        ]
        m.d.sync += now.eq(Mux(now > latency, now, now + 1))
        due = now == latency
        quotient = dut.output.payload[0]
        sign, infinite, nan, value = f.parts(m, dividend, "dividend")
        finite = ~nan & ~infinite
        right = f.nearest(m, quotient, value, divisor)
        m.d.sync += [
            Assume(divisor != 0, "nothing is divided by zero"),
            Assert((now > 0) | dut.input.ready, "ready from the start"),
            Assert(due == dut.output.valid, "a quotient comes once, on time"),
            Assert(~due | ~nan | (quotient == f.nan), "a NaN is the canonical one"),
            Assert(~due | ~infinite | (quotient[:-1] == f.infinity), "infinity stays"),
            Assert(~due | ~finite | right, "the quotient is the nearest number"),
            Assert(~due | nan | (quotient[-1] == sign), "the sign stays"),
            Cover(due & finite & (divisor == 3) & (quotient[: f.mantissa_bits] != 0)
                  & (quotient[f.mantissa_bits : -1] == 0), "a third is subnormal"),
        ]  # fmt: skip
        return m


FORMATS = [(2, 2), (3, 3), (4, 2), (3, 5)]


@pytest.mark.parametrize(("exponent_bits", "mantissa_bits"), FORMATS)
def test_a_sum_is_the_nearest_number(exponent_bits, mantissa_bits, tmp_path):
    cycles = FloatAdder.LATENCY + 2
    check(SumIsNearest(exponent_bits, mantissa_bits), tmp_path / "check", cycles=cycles)
    cover(SumIsNearest(exponent_bits, mantissa_bits), tmp_path / "cover", cycles=cycles)


@pytest.mark.parametrize(("exponent_bits", "mantissa_bits", "divisor_bits"), [(3, 3, 2), (3, 4, 3), (4, 4, 4)])
def test_a_quotient_is_the_nearest_number(exponent_bits, mantissa_bits, divisor_bits, tmp_path):
    block = QuotientIsNearest(exponent_bits, mantissa_bits, divisor_bits)
    check(block, tmp_path / "check", cycles=mantissa_bits + 4)
    cover(QuotientIsNearest(exponent_bits, mantissa_bits, divisor_bits), tmp_path / "cover", cycles=mantissa_bits + 4)


ADDER_MUTANTS = {
    "no sticky bit": ("aligned.eq((addend >> moves) | lost)", "aligned.eq(addend >> moves)"),
    "half is rounded up": ("(guard & (kept[0] | sticky))", "guard"),
    "nothing is rounded up": ("+ (guard & (kept[0] | sticky))", ""),
    "subnormal operands are flushed": ("smaller.eq(Cat(small[:mantissa_bits], low != 0))",
                                       "smaller.eq(Mux(low == 0, 0, Cat(small[:mantissa_bits], low != 0)))"),
    "subnormal sums are flushed": ("mantissa.eq(moved)", "mantissa.eq(Mux(moved[-1], moved, 0))"),
    "sums are normalised beyond the least exponent": ("Mux(zeros > exponent[1], exponent[1], zeros)", "zeros"),
    "a subnormal has an exponent of its own": (" - ((high != 0) & (low == 0))", ""),
    "x - x is -0": ("sign[2] & ~zero", "sign[2]"),
    "-0 + -0 is 0": ("(mantissa == 0) & subtract[2]", "mantissa == 0"),
    "infinity less infinity is infinity": (" | (opposed & (low == most))", ""),
    "an overflow is a NaN": ("infinite[2] | rounded[mantissa_bits:].all()", "infinite[2]"),
    "the mantissas are not ordered": ("self.b[:magnitude_bits] > self.a[:magnitude_bits]",
                                      "self.b[mantissa_bits:magnitude_bits] > self.a[mantissa_bits:magnitude_bits]"),
    "a sign that is late": ("sign[2] & ~zero", "sign[1] & ~zero"),
}  # fmt: skip


@pytest.mark.parametrize("mutant", ADDER_MUTANTS)
def test_a_broken_adder_is_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(SumIsNearest(3, 3, mutated(FloatAdder, *ADDER_MUTANTS[mutant])), tmp_path, cycles=FloatAdder.LATENCY + 2)


DIVIDER_MUTANTS = {
    "no sticky bit": (" | (remainder != 0)", ""),
    "half is rounded up": ("(guard & (kept[0] | (remainder != 0)))", "guard"),
    "no step is left out": ("Mux(reach > least, self.steps, reach + (self.steps - least))", "self.steps"),
    "subnormals have the exponent 0": ("Mux(exponent == 0, 1, exponent)", "exponent"),
    "a quotient has one exponent": ("+ (long << mantissa_bits)", ""),
    "the divisor's size does not count": (" + self.places)", ")"),
}


@pytest.mark.parametrize("mutant", DIVIDER_MUTANTS)
def test_a_broken_divider_is_caught(mutant, tmp_path):
    with pytest.raises(PropertyFailed):
        check(QuotientIsNearest(3, 4, 3, dut=mutated(FloatDivider, *DIVIDER_MUTANTS[mutant])), tmp_path, cycles=8)
