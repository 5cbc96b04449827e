"""KeyHash: the Feistel network of `feistel`, an addition a cycle."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.layouts import hashed_beat, lookup_beat
from hotline_hw.lib.blocks import place
from hotline_hw.lib.pipelines import follow, stage
from hotline_hw.lib.queues import StreamQueue
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

        input --> keys --> KeyHash of each lane --> queue --> output
          '-----> queue: beats whose keys are being mixed ----^

    Nothing stops on its way through the network: a beat enters only if there is a place for what comes out. So the
    hundreds of registers of the network need no clock enable.

    Ports:
        input: Stream of `lookup_beat`. `ready` is a register.
        output: Stream of `hashed_beat`, in order.

    Throughput: one beat a cycle. Latency: `LATENCY` cycles.
    """

    LATENCY = KeyHash.LATENCY + 2
    DEPTH = 16
    """Beats that may be here. One that goes is made up for four cycles later."""

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
        m.submodules.beats = beats = StreamQueue(lookup_beat(g), depth=self.DEPTH)
        # It holds no more than `beats` does, so it always has room.
        m.submodules.keys = keys = StreamQueue(data.ArrayLayout(g.key_bits, g.lanes), depth=self.DEPTH)
        wiring.connect(m, wiring.flipped(self.input), beats.input)
        taken = Signal()
        m.d.comb += taken.eq(self.input.valid & self.input.ready)
        m.d.comb += [
            keys.input.valid.eq(follow(m, "taken", taken, KeyHash.LATENCY)[-1]),
            # A beat is older than its keys.
            self.output.valid.eq(keys.output.valid),
            self.output.payload.beat.eq(beats.output.payload),
            self.output.payload.mixed.eq(keys.output.payload),
            beats.output.ready.eq(keys.output.valid & self.output.ready),
            keys.output.ready.eq(self.output.ready),
        ]
        for lane in range(g.lanes):
            payload = self.input.payload.lanes[lane].payload
            row = payload[ROW_FIELD.low : ROW_FIELD.low + g.row_bits]
            table = payload[TABLE_FIELD.low : TABLE_FIELD.low + g.table_bits]
            key_hash = KeyHash(key_bits=g.key_bits)
            place(m, platform, f"lane{lane}", key_hash, "key_hash")
            m.d.comb += [
                key_hash.enable.eq(1),
                key_hash.key.eq(Cat(row, table)),
                keys.input.payload[lane].eq(key_hash.mixed),
            ]
        return m
