"""KeyHash: the Feistel network of `feistel`, one round a cycle."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import hashed_beat, lookup_beat
from hotline_hw.lib.blocks import place
from hotline_hw.spec import feistel
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import ROW_FIELD, TABLE_FIELD

__all__ = ["KeyHash", "KeyUnhash", "LookupHasher"]


def _round(m: Module, value: Signal, index: int) -> Signal:
    """The round function of `feistel`."""
    half_bits = len(value)
    first, shift, second, fold = feistel.rotations(half_bits)

    def step(name: str, expression) -> Signal:
        signal = Signal(half_bits, name=f"{name}{index}")
        m.d.comb += signal.eq(expression)
        return signal

    added = step("added", value + value.rotate_left(first) + feistel.round_constant(index, half_bits))
    folded = step("folded", added ^ (added >> shift))
    summed = step("summed", folded + folded.rotate_left(second))
    return step("mixed", summed ^ (summed >> fold))


class KeyHash(wiring.Component):
    """Mixes a key into (tag, bank). `mixed` is `feistel.mix(key)`, `feistel.ROUNDS` enabled cycles later.

    Ports:
        enable: The pipeline moves.
        key: The key, `key_bits` wide.
        mixed: The mixed key, `key_bits` wide.
    """

    LATENCY = feistel.ROUNDS

    def __init__(self, *, key_bits: int) -> None:
        self.key_bits = key_bits
        super().__init__({"enable": In(1), "key": In(key_bits), "mixed": Out(key_bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        half_bits = self.key_bits // 2
        right, left = self.key[:half_bits], self.key[half_bits:]
        for index in range(feistel.ROUNDS):
            value = Signal(half_bits, name=f"right{index}")
            m.d.comb += value.eq(right)
            next_left = Signal(half_bits, name=f"left_reg{index}", reset_less=True)
            next_right = Signal(half_bits, name=f"right_reg{index}", reset_less=True)
            with m.If(self.enable):
                m.d.sync += [next_left.eq(value), next_right.eq(left ^ _round(m, value, index))]
            left, right = next_left, next_right
        m.d.comb += self.mixed.eq(Cat(right, left))
        return m


class KeyUnhash(wiring.Component):
    """The inverse of KeyHash. `key` is `feistel.unmix(mixed)`, `feistel.ROUNDS` enabled cycles later.

    Ports:
        enable: The pipeline moves.
        mixed: The mixed key, `key_bits` wide.
        key: The key, `key_bits` wide.
    """

    LATENCY = feistel.ROUNDS

    def __init__(self, *, key_bits: int) -> None:
        self.key_bits = key_bits
        super().__init__({"enable": In(1), "mixed": In(key_bits), "key": Out(key_bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        half_bits = self.key_bits // 2
        right, left = self.mixed[:half_bits], self.mixed[half_bits:]
        for index in reversed(range(feistel.ROUNDS)):
            value = Signal(half_bits, name=f"left{index}")
            m.d.comb += value.eq(left)
            next_left = Signal(half_bits, name=f"left_reg{index}", reset_less=True)
            next_right = Signal(half_bits, name=f"right_reg{index}", reset_less=True)
            with m.If(self.enable):
                m.d.sync += [next_right.eq(value), next_left.eq(right ^ _round(m, value, index))]
            left, right = next_left, next_right
        m.d.comb += self.key.eq(Cat(right, left))
        return m


class LookupHasher(wiring.Component):
    """Mixes the keys of a beat, all lanes side by side.

    Ports:
        input: Stream of `lookup_beat`.
        output: Stream of `hashed_beat`, in order.

    Throughput: one beat a cycle. Latency: `KeyHash.LATENCY` cycles. The whole pipeline stops while its end waits.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "input": In(stream.Signature(lookup_beat(geometry))),
                "output": Out(stream.Signature(hashed_beat(geometry))),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        enable = Signal()
        m.d.comb += [enable.eq(~self.output.valid | self.output.ready), self.input.ready.eq(enable)]

        valid, beat = self.input.valid, self.input.payload
        for index in range(KeyHash.LATENCY):
            next_valid = Signal(name=f"valid{index}")
            next_beat = Signal(lookup_beat(g), name=f"beat{index}", reset_less=True)
            with m.If(enable):
                m.d.sync += [next_valid.eq(valid), next_beat.eq(beat)]
            valid, beat = next_valid, next_beat
        m.d.comb += [self.output.valid.eq(valid), self.output.payload.beat.eq(beat)]

        for lane in range(g.lanes):
            payload = self.input.payload.lanes[lane].payload
            row = payload[ROW_FIELD.low : ROW_FIELD.low + g.row_bits]
            table = payload[TABLE_FIELD.low : TABLE_FIELD.low + g.table_bits]
            key_hash = KeyHash(key_bits=g.key_bits)
            place(m, platform, f"lane{lane}", key_hash, "key_hash")
            m.d.comb += [
                key_hash.enable.eq(enable),
                key_hash.key.eq(Cat(row, table)),
                self.output.payload.mixed[lane].eq(key_hash.mixed),
            ]
        return m
