"""FloatDivider: floating-point numbers over a small integer."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.lib.blocks import place

from .float_add import canonical_nan, leading_zeros

__all__ = ["DividerLane", "FloatDivider", "divider_input", "division_latency"]

_BITS_A_CYCLE = 2


def division_latency(mantissa_bits: int = 23) -> int:
    """Cycles from FloatDivider's input to its output, and from that input to the next: 14 for binary32."""
    return 1 + _step_cycles(mantissa_bits)


def _steps(mantissa_bits: int) -> int:
    """Bits of a quotient that rounding needs: the mantissa's, the hidden one, the guard, and a leading zero."""
    return mantissa_bits + 3


def _step_cycles(mantissa_bits: int) -> int:
    return -(-_steps(mantissa_bits) // _BITS_A_CYCLE)


class DividerLane(wiring.Component):
    """Long division of one number, a bit of the quotient each step.

    The dividend's mantissa is M, the divisor N = divisor << places, with its highest bit one. It starts with as many
    bits of M as N has, so that the first bit of the quotient or the second is one, unless M is subnormal. After
    `_steps` there are enough bits to round. Where that would go below the exponents there are, it stops earlier: with
    the quotient's lowest bit worth half of the least subnormal.

    Ports:
        load: takes the dividend, and places. divisor: N, while `step` is high.
        step: two steps are due, `done` having been before; which of these are to be done, the lane knows.
        quotient: rounded, when all steps are done.
    """

    def __init__(self, exponent_bits: int, mantissa_bits: int, divisor_bits: int) -> None:
        if divisor_bits > mantissa_bits:
            raise ValueError(f"divisor_bits={divisor_bits} must be at most mantissa_bits={mantissa_bits}")
        self.exponent_bits, self.mantissa_bits, self.divisor_bits = exponent_bits, mantissa_bits, divisor_bits
        self.steps = _steps(mantissa_bits)
        bits = 1 + exponent_bits + mantissa_bits
        super().__init__(
            {
                "load": In(1),
                "dividend": In(bits),
                "places": In(range(divisor_bits)),
                "divisor": In(divisor_bits),
                "step": In(1),
                "done": In(range(self.steps + _BITS_A_CYCLE)),
                "quotient": Out(bits),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        mantissa_bits, divisor_bits = self.mantissa_bits, self.divisor_bits
        fraction, exponent = self.dividend[:mantissa_bits], self.dividend[mantissa_bits:-1]
        sign, special, nan = (Signal(name=name, reset_less=True) for name in ("sign", "special", "nan"))
        scale = Signal(self.exponent_bits, reset_less=True)  # the quotient's exponent, less one or less two
        due = Signal(range(self.steps + 1), reset_less=True)  # steps that this dividend takes
        digits = Signal(self.steps, reset_less=True)
        remainder = Signal(divisor_bits + 1, reset_less=True)
        rest = Signal(mantissa_bits + 1 - divisor_bits, reset_less=True)  # bits of M that are still to come down

        reach = Signal(range((1 << self.exponent_bits) + divisor_bits))
        least = divisor_bits + 1  # of `reach`, with all steps
        m.d.comb += reach.eq(Mux(exponent == 0, 1, exponent) + self.places)
        with m.If(self.load):
            m.d.sync += [
                sign.eq(self.dividend[-1]),
                special.eq(exponent.all()),
                nan.eq(fraction != 0),
                digits.eq(0),
                Cat(rest, remainder).eq(Cat(fraction, exponent != 0)),
                scale.eq(Mux(reach > least, reach - least, 0)),
                due.eq(Mux(reach > least, self.steps, reach + (self.steps - least))),
            ]

        state = Cat(rest, remainder, digits)
        for index in range(_BITS_A_CYCLE):
            rest_now = state[: len(rest)]
            remainder_now = state[len(rest) : len(rest) + len(remainder)]
            difference = Signal(divisor_bits + 2, name=f"difference{index}")
            left = Signal(divisor_bits, name=f"left{index}")
            following = Signal(len(state), name=f"state{index}")
            fits = ~difference[-1]
            m.d.comb += [
                difference.eq(remainder_now - self.divisor),
                left.eq(Mux(fits, difference, remainder_now)),
                following.eq(state),
            ]
            with m.If(self.done + index < due):
                m.d.comb += following.eq(Cat(Const(0, 1), rest_now, left, fits, state[len(rest) + len(remainder) :]))
            state = following
        with m.If(self.step):
            m.d.sync += Cat(rest, remainder, digits).eq(state)

        # A long quotient has a digit below the guard, which is zero if the quotient is exact: it has no more digits
        # than M.
        long = digits[-1]
        kept, guard = Signal(mantissa_bits + 1), Signal()
        rounded = Signal(self.exponent_bits + mantissa_bits)
        m.d.comb += [
            kept.eq(Mux(long, digits[2:], digits[1:])),
            guard.eq(Mux(long, digits[1], digits[0])),
            rounded.eq(
                Cat(Const(0, mantissa_bits), scale)
                + (long << mantissa_bits)
                + kept
                + (guard & (kept[0] | (remainder != 0)))
            ),
        ]
        with m.If(~special):
            m.d.comb += self.quotient.eq(Cat(rounded, sign))
        with m.Elif(nan):
            m.d.comb += self.quotient.eq(canonical_nan(self.exponent_bits, mantissa_bits))
        with m.Else():
            m.d.comb += self.quotient.eq(Cat(Const(0, mantissa_bits), Const(-1, self.exponent_bits), sign))
        return m


def divider_input(lanes: int, bits: int, divisor_bits: int) -> data.StructLayout:
    """What FloatDivider takes."""
    return data.StructLayout({"dividends": data.ArrayLayout(bits, lanes), "divisor": divisor_bits})


class FloatDivider(wiring.Component):
    """Divides floating-point numbers, one a lane, by an integer; binary32 and one of 13 bits unless told otherwise.

    Each quotient is the exact one, rounded once, to nearest, ties to even; subnormals count in full, and come out. A
    NaN gives `canonical_nan`. A divisor of zero gives numbers without meaning.

    Ports:
        input: payload `divider_input`. output: payload an array of quotients.

    Latency, and cycles from an input to the next: `division_latency`, whatever the numbers.
    """

    def __init__(self, lanes: int, exponent_bits: int = 8, mantissa_bits: int = 23, divisor_bits: int = 13) -> None:
        self.lanes = [DividerLane(exponent_bits, mantissa_bits, divisor_bits) for _ in range(lanes)]
        self.divisor_bits = divisor_bits
        self.cycles = _step_cycles(mantissa_bits)
        bits = 1 + exponent_bits + mantissa_bits
        super().__init__(
            {
                "input": In(stream.Signature(divider_input(lanes, bits, divisor_bits))),
                "output": Out(stream.Signature(data.ArrayLayout(bits, lanes))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        payload = self.input.payload
        width = 1 << (self.divisor_bits - 1).bit_length()
        places = Signal(range(self.divisor_bits))
        divisor = Signal(self.divisor_bits, reset_less=True)
        load, step = Signal(), Signal()
        done = Signal(range(_BITS_A_CYCLE * self.cycles + 1))
        m.d.comb += [
            places.eq(leading_zeros(m, Cat(Const(0, width - self.divisor_bits), payload.divisor), width)),
            self.input.ready.eq(~step & (~self.output.valid | self.output.ready)),
            load.eq(self.input.valid & self.input.ready),
        ]
        with m.If(step):
            m.d.sync += done.eq(done + _BITS_A_CYCLE)
            with m.If(done == _BITS_A_CYCLE * (self.cycles - 1)):
                m.d.sync += [step.eq(0), self.output.valid.eq(1)]
        with m.Elif(self.output.ready):
            m.d.sync += self.output.valid.eq(0)
        with m.If(load):
            m.d.sync += [divisor.eq(payload.divisor << places), done.eq(0), step.eq(1)]
        for index, lane in enumerate(self.lanes):
            place(m, platform, f"lane{index}", lane, "float_divider_lane")
            m.d.comb += [
                lane.load.eq(load),
                lane.dividend.eq(payload.dividends[index]),
                lane.places.eq(places),
                lane.divisor.eq(divisor),
                lane.step.eq(step),
                lane.done.eq(done),
                self.output.payload[index].eq(lane.quotient),
            ]
        return m
