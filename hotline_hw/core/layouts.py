"""Layouts of what flows between the blocks, lookups in lanes. The widths come from `Geometry`.

Unpacker -> LookupHasher -> FrontTable -> BankScatter ->  banks  -> BankGather -> SampleClassifier -> Dispatcher
  lookup_beat    hashed_beat   fronted_beat    |                      ^  result_beat        verdict_beat
                                               '----- pass_beat ------'
"""

from __future__ import annotations

from functools import reduce
from operator import or_

from amaranth.hdl import Cat, Mux, Value
from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import Out

from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import WEIGHTS
from hotline_hw.spec.words import AGE_FIELD, PAYLOAD_FIELD, SAMPLE_FIELD

__all__ = [
    "MISSES_COUNTED", "MISS_BITS", "Eligible", "axis_beat", "encode", "entry_row", "first_set", "fronted_beat",
    "hashed_beat", "lookup_beat", "pass_beat", "result_beat", "row_parts", "select_one", "state_beat", "update_lane",
    "verdict_beat", "verdict_depth", "verdict_id_bits",
]  # fmt: skip

_PAYLOAD = PAYLOAD_FIELD.width

MISSES_COUNTED = len(WEIGHTS)
"""The count of a sample's misses saturates here. It tells 0 to 15 other misses apart, one for each update weight."""
MISS_BITS = MISSES_COUNTED.bit_length()


def _lanes(geometry: Geometry, fields: dict) -> data.ArrayLayout:
    return data.ArrayLayout(data.StructLayout(fields), geometry.lanes)


def axis_beat(words: int) -> data.StructLayout:
    """Words of a dense AXI4-Stream beat. The first `count` of them are kept. `last` ends the packet."""
    return data.StructLayout({"words": data.ArrayLayout(64, words), "count": range(words + 1), "last": 1})


def _beat_flags() -> dict:
    """What a beat says of its mini-batch.

    learn: the mini-batch trains the tracker.
    classify: its lookups come out as result words.
    end: this is its last beat.
    """
    return {"learn": 1, "classify": 1, "end": 1}


def update_lane(geometry: Geometry) -> dict:
    """What a lookup takes along, so that it can be learned after the verdict.

    If `routed`, it was lookup `rank` of its pass for `bank`. `tag` is its tag. If `fronted`, it is of row `front` of
    the front table. Behind BankGather `fronted` means that the row is hot too. Then its gain is kept until the
    mini-batch ends, and its bank learns nothing from the lookup, even if it was `routed`.
    """
    return {
        "routed": 1, "bank": geometry.bank_bits, "rank": geometry.bank_port_bits, "tag": geometry.tag_bits,
        "fronted": 1, "front": geometry.front_bits,
    }  # fmt: skip


def lookup_beat(geometry: Geometry) -> data.StructLayout:
    """Unpacked lookups. `last` ends a sample. A `bad` lookup is out of range, so it goes to no bank.

    If `front`, the beat's lookups name rows of the front table, and nothing else is made of them.
    """
    lane = {"payload": _PAYLOAD, "valid": 1, "last": 1, "bad": 1}
    return data.StructLayout({"lanes": _lanes(geometry, lane), **_beat_flags(), "front": 1})


def hashed_beat(geometry: Geometry) -> data.StructLayout:
    """A lookup beat with the mixed key of every lane."""
    return data.StructLayout(
        {"beat": lookup_beat(geometry), "mixed": data.ArrayLayout(geometry.key_bits, geometry.lanes)}
    )


def fronted_beat(geometry: Geometry) -> data.StructLayout:
    """A hashed beat with what the front table says of every lane.

    A `fronted` lane looks row `front` of the table up. Where that row's slot is `known`, no bank is asked.
    """
    lane = {"fronted": 1, "known": 1, "front": geometry.front_bits}
    return data.StructLayout({"hashed": hashed_beat(geometry), "lanes": _lanes(geometry, lane)})


def pass_beat(geometry: Geometry) -> data.StructLayout:
    """The part of a beat that went to the banks together. `routed` lanes wait for result `rank` of `bank`.

    The front table answers a valid lane that is `fronted` and not `routed`. `asked` says how many answers of each bank
    the pass waits for.
    """
    lane = {"payload": _PAYLOAD, "valid": 1, "last": 1, "bad": 1, **update_lane(geometry)}
    asked = data.ArrayLayout(range(geometry.bank_ports + 1), geometry.banks)
    return data.StructLayout({"lanes": _lanes(geometry, lane), **_beat_flags(), "asked": asked})


def result_beat(geometry: Geometry) -> data.StructLayout:
    """Lookups with the tracker's answer, in stream order again. `payload` holds the slot in a lane that `hit`."""
    lane = {"payload": _PAYLOAD, "valid": 1, "last": 1, "bad": 1, "hit": 1, **update_lane(geometry)}
    return data.StructLayout({"lanes": _lanes(geometry, lane), **_beat_flags()})


def verdict_beat(geometry: Geometry) -> data.StructLayout:
    """Lookups with their sample's verdict, which is the number of its misses. Zero is popular.

    `payload` holds the slot in a lane that `hit`. `valid` lanes come out as result words. `sample` is the index of lane
    0's sample, and `ordinal` is how many samples of the beat end before the lane. `learn` is as in a lookup beat.
    """
    lane = {
        "payload": _PAYLOAD, "valid": 1, "last": 1, "hit": 1, "misses": MISS_BITS, "ordinal": range(geometry.lanes),
        **update_lane(geometry),
    }  # fmt: skip
    return data.StructLayout({"lanes": _lanes(geometry, lane), "sample": SAMPLE_FIELD.width, "learn": 1, "end": 1})


def verdict_depth(geometry: Geometry) -> int:
    """Beats that can wait for a verdict. A sample of `max_lookups` beats with one lookup each must fit."""
    return geometry.max_lookups + 2


def verdict_id_bits(geometry: Geometry) -> int:
    """Width of a verdict's number. There are more numbers than beats that can wait."""
    return (2 * verdict_depth(geometry)).bit_length()


def state_beat(geometry: Geometry) -> data.StructLayout:
    """Payload of the state streams: the words of one set, way 0 first, or an event."""
    return data.StructLayout({"words": data.ArrayLayout(64, geometry.ways), "last": 1})


def entry_row(geometry: Geometry) -> wiring.Signature:
    """One set of a tracker bank without tags, hot bits and slots, as its owner drives it.

    Counters stand side by side, way 0 lowest. Otherwise a port for each way of each bank would be most of the Verilog.
    """
    ways = geometry.ways
    return wiring.Signature(
        {
            "valid": Out(ways),
            "referenced": Out(ways),
            "age": Out(AGE_FIELD.width),
            "counters": Out(geometry.counter_bits * ways),
        }
    )


def row_parts(row: object) -> list:
    """The signals of an `entry_row`, in order."""
    signature = row.signature  # type: ignore[attr-defined]
    return [value for _, _, value in signature.flatten(row)]


class Eligible(enum.Enum, shape=3):  # type: ignore[call-arg]
    """Entries that the tracker is asked for. Their counters against a level select them, or their bits.

    Bit 0: hot entries, and those that fail the test. Bit 1: the test is whether they were referenced, not their level.
    Bit 2: hot ones too.
    """

    COLD = 0  # cold, at the level or above
    HOT = 1  # hot, below the level
    RECENT = 2  # cold, referenced since the set's last aging
    IDLE = 3  # hot, not referenced since
    ALL = 4  # any at the level or above


def select_one(lanes: Value, values: list) -> Value:
    """The value of the one lane whose bit is set. Zero if no bit is set."""
    return reduce(or_, (Mux(lanes[lane], values[lane], 0) for lane in range(len(lanes))))


def first_set(bits: Value) -> tuple[Value, Value]:
    """Whether a bit is set, and the index of the lowest one that is. There are 2, 4, 8 ... bits."""
    if len(bits) == 2:
        return bits.any(), ~bits[0]
    half = len(bits) // 2
    (low_some, low), (high_some, high) = first_set(bits[:half]), first_set(bits[half:])
    return low_some | high_some, Cat(Mux(low_some, low, high), ~low_some)


def encode(lanes: Value) -> Value:
    """The index of the one bit that is set. Zero if no bit is set."""
    bits = (len(lanes) - 1).bit_length()
    return Cat(Cat(lanes[lane] for lane in range(len(lanes)) if lane >> bit & 1).any() for bit in range(bits))
