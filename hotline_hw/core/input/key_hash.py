"""KeyHash: the Feistel network of `feistel`, an addition a cycle."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import hashed_beat, lookup_beat
from hotline_hw.lib.blocks import place
from hotline_hw.lib.pipelines import stage
from hotline_hw.spec import feistel
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import ROW_FIELD, TABLE_FIELD

__all__ = ["KeyHash", "KeyUnhash", "LookupHasher"]


def _half_round(m: Module, name: str, value: Value, turn: int, constant: int) -> Signal:
    """An addition of the round function of `feistel`. The exclusive-or behind it belongs to the next stage."""
    total = Signal(len(value), name=name)
    m.d.comb += total.eq(value + value.rotate_left(turn) + constant)
    return total


def _network(m: Module, enable: Value, fixed: Value, changed: Value, rounds: list[int]) -> tuple[Value, Value]:
    """The rounds, with the halves of the key in turn as the one that stays and the one that changes.

    A round takes two cycles, one for each addition. What comes out changed last is not registered.
    """
    bits = len(fixed)
    first, shift, second, fold = feistel.rotations(bits)
    for index in rounds:
        value = Signal(bits, name=f"value{index}")
        m.d.comb += value.eq(fixed)
        added = _half_round(m, f"sum{index}", value, first, feistel.round_constant(index, bits))
        half = stage(m, f"half{index}", enable, added=added, fixed=value, changed=changed)
        folded = Signal(bits, name=f"folded{index}")
        m.d.comb += folded.eq(half["added"] ^ (half["added"] >> shift))
        summed = _half_round(m, f"total{index}", folded, second, 0)
        whole = stage(m, f"whole{index}", enable, summed=summed, fixed=half["fixed"], changed=half["changed"])
        mixed = whole["summed"] ^ (whole["summed"] >> fold)
        fixed, changed = whole["changed"] ^ mixed, whole["fixed"]
    return fixed, changed


class KeyHash(wiring.Component):
    """Mixes a key into (tag, bank). `mixed` is `feistel.mix(key)`, `LATENCY` enabled cycles later.

    Ports:
        enable: The pipeline moves.
        key: The key, `key_bits` wide.
        mixed: The mixed key, `key_bits` wide.
    """

    LATENCY = 2 * feistel.ROUNDS + 1

    def __init__(self, *, key_bits: int) -> None:
        self.key_bits = key_bits
        super().__init__({"enable": In(1), "key": In(key_bits), "mixed": Out(key_bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        half_bits = self.key_bits // 2
        right, left = _network(m, self.enable, self.key[:half_bits], self.key[half_bits:], list(range(feistel.ROUNDS)))
        with m.If(self.enable):
            m.d.sync += self.mixed.eq(Cat(right, left))
        return m


class KeyUnhash(wiring.Component):
    """The inverse of KeyHash. `key` is `feistel.unmix(mixed)`, `LATENCY` enabled cycles later.

    Ports:
        enable: The pipeline moves.
        mixed: The mixed key, `key_bits` wide.
        key: The key, `key_bits` wide.
    """

    LATENCY = KeyHash.LATENCY

    def __init__(self, *, key_bits: int) -> None:
        self.key_bits = key_bits
        super().__init__({"enable": In(1), "mixed": In(key_bits), "key": Out(key_bits)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        half_bits = self.key_bits // 2
        left, right = _network(
            m, self.enable, self.mixed[half_bits:], self.mixed[:half_bits], list(reversed(range(feistel.ROUNDS)))
        )
        with m.If(self.enable):
            m.d.sync += self.key.eq(Cat(right, left))
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
