"""The shell's packers and feeders in Amaranth's simulator, with random stalls on both sides, against Python."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In

from hotline_hw.core.layouts import axis_beat
from hotline_hw.core.output.verdicts import VerdictTap
from hotline_hw.shell.granules import GranulePacker
from hotline_hw.shell.streams.beats import BeatFiller, ResultPacker, StateJoiner, StateSplitter, cut_result
from hotline_hw.shell.streams.lookups import LookupFeeder
from hotline_hw.shell.streams.verdicts import VerdictPacker
from hotline_hw.spec.descriptors import GRANULE_BYTES
from hotline_hw.spec.params import Geometry, preset
from tests.support.streams import collect, feed, pulse

GEOMETRIES = {
    "tiny": preset("tiny"), "edge": preset("edge"), "kaggle": preset("kaggle"),
    "256": preset("kaggle").override({"axi_bits": 256, "lanes": 8}),
}  # fmt: skip
GRANULE_BITS = 8 * GRANULE_BYTES

pytestmark = [
    pytest.mark.parametrize("stall", [0, 0.4]),
    pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys()),
]


@pytest.fixture
def draw(stall) -> random.Random:
    return random.Random(stall)


def pieces(value: int, bits: int, count: int) -> list[int]:
    """The lowest `count` parts of `bits` bits."""
    return [value >> bits * at & (1 << bits) - 1 for at in range(count)]


def join(parts: Iterable[int], bits: int) -> int:
    return sum(part << bits * at for at, part in enumerate(parts))


def through(dut: Any, payloads: list, draw: random.Random, stall: float) -> list:
    async def drive(ctx):
        await feed(ctx, dut.input, payloads, draw, stall)

    return collect(dut, drive, {"output": dut.output}, draw, stall)["output"]


def packets(beats: list, bits: int, full: int, count: str, end: str) -> list[list[int]]:
    """The contents of write beats, or of beats of granules. All beats except those that end a packet are full."""
    found, packet = [], []
    for beat in beats:
        assert beat[end] or beat[count] == full
        packet += pieces(beat.data, bits, beat[count])
        if beat[end]:
            found.append(packet)
            packet = []
    assert not packet, "the last packet ends"
    return found


def split(items: list[int], most: int, draw: random.Random) -> Iterator[tuple[list[int], bool]]:
    """A packet in random parts of at most `most` items: (items, whether they are the last)."""
    items = list(items)
    while True:
        part = items[: draw.randint(0, most)]
        items = items[len(part) :]
        last = not items and draw.random() < 0.7
        yield part, last
        if last:
            return


def lists(draw: random.Random, count: int, most: int, bits: int) -> list[list[int]]:
    return [[draw.getrandbits(bits) for _ in range(draw.randint(0, most))] for _ in range(count)]


def test_granules(geometry, stall, draw):
    size = geometry.granules
    expected = lists(draw, 40, 3 * size, GRANULE_BITS)
    sends = []
    for packet in expected:
        for part, last in split(packet, size, draw):
            first = draw.randint(0, size - max(1, len(part)))
            around = draw.getrandbits(GRANULE_BITS * first)  # granules that are not asked for
            data = around | join(part, GRANULE_BITS) << GRANULE_BITS * first
            sends.append({"data": data, "first": first, "count": len(part), "end": last})
    found = through(GranulePacker(geometry), sends, draw, stall)
    assert packets(found, GRANULE_BITS, size, "count", "end") == expected


@pytest.mark.parametrize("bits", [32, 64])
def test_words(bits, geometry, stall, draw):
    room = geometry.axi_bits // bits
    expected = lists(draw, 30, 3 * room, bits)
    sends = [
        {"word": join(part, bits), "some": len(part), "last": last}
        for packet in expected
        for part, last in split(packet, 1, draw)
    ]
    found = through(BeatFiller(geometry, bits), sends, draw, stall)
    words = [
        part for packet in expected for part in [[half for word in packet for half in pieces(word, 32, bits // 32)]]
    ]
    assert packets(found, 32, geometry.axi_bits // 32, "words", "last") == words


class CutResults(wiring.Component):
    """A ResultPacker behind words of the core."""

    def __init__(self, geometry: Geometry) -> None:
        self.packer = ResultPacker(geometry)
        super().__init__(
            {
                "input": In(stream.Signature(axis_beat(geometry.lanes))),
                "output": self.packer.signature.members["output"],
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.packer = packer = self.packer
        into, words = packer.input.payload, self.input.payload.words
        wiring.connect(m, packer.output, wiring.flipped(self.output))
        m.d.comb += [
            *(into.words[lane].eq(cut_result(words[lane])) for lane in range(packer.geometry.lanes)),
            into.count.eq(self.input.payload.count), into.last.eq(self.input.payload.last),
            packer.input.valid.eq(self.input.valid), self.input.ready.eq(packer.input.ready),
        ]  # fmt: skip
        return m


def test_results(geometry, stall, draw):
    lanes = geometry.lanes
    results = lists(draw, 30, 4 * lanes, 64)
    results[:3] = [[draw.getrandbits(64) for _ in range(count)] for count in (lanes, 2 * lanes, 0)]
    sends = []
    for packet in results:
        for at in range(0, max(1, len(packet)), lanes):
            part = packet[at : at + lanes]
            words = part + [draw.getrandbits(64) for _ in range(lanes - len(part))]
            sends.append({"words": words, "count": len(part), "last": at + lanes >= len(packet)})
    found = through(CutResults(geometry), sends, draw, stall)
    expected = [[(w & (1 << 30) - 1) | (w >> 62 & 1) << 30 | w >> 63 << 31 for w in packet] for packet in results]
    assert packets(found, 32, geometry.axi_bits // 32, "words", "last") == expected


def test_verdicts(geometry, stall, draw):
    lanes = geometry.lanes
    verdicts = lists(draw, 20, 80, 1)
    verdicts[:2] = [[1] * 32, [1] * 64]
    sends = [
        {
            "bits": join(part, 1) | draw.getrandbits(lanes) << len(part) & (1 << lanes) - 1,
            "count": len(part),
            "last": last,
        }
        for packet in verdicts
        for part, last in split(packet, lanes, draw)
    ]
    found, words = [], []
    for word in through(VerdictPacker(geometry), sends, draw, stall):
        words += [word.word] * word.some
        if word.last:
            found.append(words)
            words = []
    assert not words
    assert found == [[join(packet[at : at + 32], 1) for at in range(0, len(packet), 32)] for packet in verdicts]


def test_verdicts_are_taken_off(geometry, stall, draw):
    sends, expected = [], []
    for _ in range(120):
        lanes = [
            {"valid": draw.random() < 0.7, "last": draw.random() < 0.4, "misses": draw.choice([0, 0, 1, 16, 5])}
            for _ in range(geometry.lanes)
        ]
        ends = 0
        for lane in lanes:
            lane["ordinal"] = ends
            ends += lane["valid"] and lane["last"]
        end = draw.random() < 0.1
        sends.append({"lanes": lanes, "end": end})
        verdicts = [int(lane["misses"] == 0) for lane in lanes if lane["valid"] and lane["last"]]
        if verdicts or end:
            expected.append((verdicts, end))
    found = through(VerdictTap(geometry), sends, draw, stall)
    assert [(pieces(beat.bits, 1, beat.count), bool(beat.last)) for beat in found] == expected


def test_state(geometry, stall, draw):
    """Moves one set after the other to memory and back."""
    sets = [[draw.getrandbits(64) for _ in range(geometry.ways)] for _ in range(24)]
    ends = [draw.random() < 0.3 for _ in sets]
    ends[-1] = True
    sends = [{"words": words, "last": end} for words, end in zip(sets, ends, strict=True)]
    beats = through(StateSplitter(geometry), sends, draw, stall)
    assert all(beat.words == geometry.axi_bits // 32 for beat in beats)
    assert join((beat.data for beat in beats), geometry.axi_bits) == join((w for words in sets for w in words), 64)
    assert sum(beat.last for beat in beats) == sum(ends)
    back = [{"data": beat.data, "last": beat.last} for beat in beats]
    found = through(StateJoiner(geometry), back, draw, stall)
    assert [(list(beat.words), bool(beat.last)) for beat in found] == list(zip(sets, ends, strict=True))


@pytest.mark.parametrize("tables", [0, 1, 2, 3, 5, 16, 26, 255, 256])
def test_lookups(tables, geometry, stall, draw):
    """Several mini-batches through one LookupFeeder, as lookup words or as rows by table."""
    dut = LookupFeeder(geometry)
    bits = 32 if tables else 64
    per_beat = geometry.axi_bits // bits
    sizes = [tables * samples for samples in (1, 2, 5)] if tables else [1, 37, per_beat, 2 * per_beat + 1]
    buffers = [[draw.getrandbits(bits) for _ in range(size)] for size in sizes]

    async def drive(ctx):
        for buffer in buffers:
            await pulse(ctx, dut.start, count=(dut.count, len(buffer)), tables=(dut.tables, tables))
            assert not ctx.get(dut.done)
            beats = [{"data": join(buffer[at : at + per_beat], bits)} for at in range(0, len(buffer), per_beat)]
            await feed(ctx, dut.input, beats, draw, stall)
            assert ctx.get(dut.done)

    found = packets_of_lookups(collect(dut, drive, {"output": dut.output}, draw, stall)["output"], geometry)
    for packet, buffer in zip(found, buffers, strict=True):
        expected = buffer
        if tables:
            of_table = [at % tables for at in range(len(buffer))]
            ends = [table == tables - 1 for table in of_table]
            expected = [row | table << 32 | end << 63 for row, table, end in zip(buffer, of_table, ends, strict=True)]
        assert packet == expected


def packets_of_lookups(beats: list, geometry: Geometry) -> list[list[int]]:
    found, packet = [], []
    for beat in beats:
        packet += [beat.words[lane] for lane in range(geometry.lanes) if beat.keep >> lane & 1]
        if beat.last:
            found.append(packet)
            packet = []
    assert not packet
    return found


def test_lookups_that_could_not_be_read_are_left_out(geometry, stall, draw):
    dut = LookupFeeder(geometry)
    per_beat = geometry.axi_bits // 64
    words = [draw.getrandbits(64) for _ in range(5 * per_beat)]
    faults = [False, True, False, True, True]

    async def drive(ctx):
        await pulse(ctx, dut.start, count=(dut.count, len(words)), tables=(dut.tables, 0))
        beats = [
            {"data": join(words[at * per_beat :][:per_beat], 64), "fault": fault} for at, fault in enumerate(faults)
        ]
        await feed(ctx, dut.input, beats, draw, stall)

    found = collect(dut, drive, {"output": dut.output}, draw, stall)["output"]
    assert packets_of_lookups(found, geometry) == [words[:per_beat] + words[2 * per_beat : 3 * per_beat]]
    assert len(found) == 5
