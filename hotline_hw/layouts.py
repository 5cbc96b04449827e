"""Layouts of what flows between the blocks, lookups in lanes. The widths come from `Geometry`.

Unpacker -> LookupHasher -> BankScatter ->  banks  -> BankGather -> SampleClassifier -> Dispatcher
  lookup_beat    hashed_beat      |                      ^  result_beat        verdict_beat
                                  '----- pass_beat ------'
"""

from __future__ import annotations

from amaranth.hdl import Cat, Value
from amaranth.lib import data, wiring
from amaranth.lib.wiring import Out

from .params import Geometry
from .words import PAYLOAD_FIELD, SAMPLE_FIELD

__all__ = [
    "axis_beat", "encode", "entry_row", "hashed_beat", "lookup_beat", "pass_beat", "result_beat", "row_parts",
    "verdict_beat", "verdict_depth", "verdict_id_bits",
]  # fmt: skip

_PAYLOAD = PAYLOAD_FIELD.width


def _lanes(geometry: Geometry, fields: dict) -> data.ArrayLayout:
    return data.ArrayLayout(data.StructLayout(fields), geometry.lanes)


def axis_beat(words: int) -> data.StructLayout:
    """Words of a dense AXI4-Stream beat: the first `count` of them are kept, `last` ends the packet."""
    return data.StructLayout({"words": data.ArrayLayout(64, words), "count": range(words + 1), "last": 1})


def _beat_flags() -> dict:
    """`learn`: the mini-batch trains the tracker. `end`: nothing of the mini-batch follows."""
    return {"learn": 1, "end": 1}


def lookup_beat(geometry: Geometry) -> data.StructLayout:
    """Unpacked lookups. `last` ends a sample; `bad`: out of range, so it goes to no bank."""
    lane = {"payload": _PAYLOAD, "valid": 1, "last": 1, "bad": 1}
    return data.StructLayout({"lanes": _lanes(geometry, lane), **_beat_flags()})


def hashed_beat(geometry: Geometry) -> data.StructLayout:
    """A lookup beat with the mixed key of every lane."""
    return data.StructLayout(
        {"beat": lookup_beat(geometry), "mixed": data.ArrayLayout(geometry.key_bits, geometry.lanes)}
    )


def pass_beat(geometry: Geometry) -> data.StructLayout:
    """The part of a beat that went to the banks together. `routed` lanes wait for result `rank` of `bank`."""
    lane = {
        "payload": _PAYLOAD, "valid": 1, "last": 1, "bad": 1, "routed": 1,
        "bank": geometry.bank_bits, "rank": geometry.bank_port_bits,
    }  # fmt: skip
    return data.StructLayout({"lanes": _lanes(geometry, lane), **_beat_flags()})


def result_beat(geometry: Geometry) -> data.StructLayout:
    """Lookups with the tracker's answer, in stream order again."""
    lane = {"payload": _PAYLOAD, "valid": 1, "last": 1, "bad": 1, "hit": 1, "slot": geometry.slot_bits}
    return data.StructLayout({"lanes": _lanes(geometry, lane), **_beat_flags()})


def verdict_beat(geometry: Geometry) -> data.StructLayout:
    """Lookups with their sample's verdict. `tail` lanes belong to a sample that a later beat ends: its verdict is
    entry `tail_id` of the verdict table. `payload` holds the slot where `hit`. `sample`: index of lane 0's sample."""
    lane = {"payload": _PAYLOAD, "valid": 1, "last": 1, "hit": 1, "popular": 1, "tail": 1}
    return data.StructLayout(
        {
            "lanes": _lanes(geometry, lane),
            "sample": SAMPLE_FIELD.width,
            "has_tail": 1,
            "tail_id": verdict_id_bits(geometry),
            "end": 1,
        }
    )


def verdict_depth(geometry: Geometry) -> int:
    """Beats that can wait for a verdict: a sample of `max_lookups` beats with one lookup each must fit."""
    return geometry.max_lookups + 2


def verdict_id_bits(geometry: Geometry) -> int:
    """Width of a verdict's number: more numbers than beats can wait."""
    return (2 * verdict_depth(geometry)).bit_length()


def entry_row(geometry: Geometry) -> wiring.Signature:
    """One set of a tracker bank, as its owner drives it. `rrpv` is in bit planes: plane i holds bit i of every way's
    value. A signal for each part, not one wide word, so that no simulator packs and unpacks it every cycle."""
    return wiring.Signature(
        {
            "valid": Out(geometry.ways),
            "rrpv": Out(geometry.ways).array(geometry.rrpv_bits),
            "tag": Out(geometry.tag_bits).array(geometry.ways),
        }
    )


def row_parts(row: object) -> list:
    """The signals of an `entry_row`, in order."""
    return [row.valid, *row.rrpv, *row.tag]  # type: ignore[attr-defined]


def encode(lanes: Value) -> Value:
    """The index of the one bit that is set; zero where none is."""
    bits = (len(lanes) - 1).bit_length()
    return Cat(Cat(lanes[lane] for lane in range(len(lanes)) if lane >> bit & 1).any() for bit in range(bits))
