"""The benches' scoreboard sees errors, and odd packets mean what they are said to mean."""

from __future__ import annotations

import numpy as np
import pytest

from hotline_hw.spec.params import PRESETS
from hotline_hw.spec.regmap import Error, Irq, Phase
from hotline_hw.spec.words import RESERVED_FIELD, WORD_BYTES
from hotline_sim.bench.core.coverage import Coverage
from hotline_sim.bench.core.packets import LookupPacket, dense, sparse
from hotline_sim.bench.core.scoreboard import Scoreboard
from hotline_sim.bench.stimulus import key_words, random_keys

TINY = PRESETS["tiny"]
WORDS = key_words(TINY, random_keys(np.random.default_rng(2), TINY, 5))


@pytest.mark.parametrize("count", [0, 1, 4, 5])
def test_dense(count: int) -> None:
    packet = dense(WORDS[:count], 2)
    assert packet.keep.shape == (max(1, -(-count // 2)), 2)
    assert packet.lookups().tolist() == WORDS[:count].tolist()
    assert packet.beat_of_lookup().tolist() == [0, 0, 1, 1, 2][:count]
    assert not packet.is_sparse()
    assert len(packet.tdata()) == len(packet.tkeep()) == packet.keep.size * WORD_BYTES


def test_sparse_keeps_the_words_in_order() -> None:
    rng = np.random.default_rng(3)
    packets = [sparse(rng, WORDS, 2) for _ in range(50)]
    for packet in packets:
        assert packet.lookups().tolist() == WORDS.tolist()
        assert not packet.has_partial_words()
    assert any(packet.is_sparse() for packet in packets)
    assert any(packet.null_beats()[-1] for packet in packets)
    assert any(packet.null_beats()[:-1].any() for packet in packets)


def test_a_word_in_part_is_out_of_range() -> None:
    packet = dense(WORDS[:2], 2)
    packet.keep[0, 1] = 0x7F
    assert packet.tkeep() == [1] * 15 + [0]
    assert packet.lookups().tolist() == [WORDS[0], WORDS[1] | 1 << RESERVED_FIELD.low]
    scoreboard = Scoreboard(TINY)
    scoreboard.expect(packet, Phase.CLASSIFY)
    assert scoreboard.errors == Error.INDEX_RANGE
    assert scoreboard.irq == Irq.BATCH_DONE | Irq.ERROR


@pytest.fixture
def due() -> tuple[Scoreboard, LookupPacket]:
    """A scoreboard that expects, on the non-popular side, the results of a core with an empty tracker for WORDS."""
    scoreboard = Scoreboard(TINY)
    scoreboard.expect(dense(WORDS, 2), Phase.CLASSIFY)
    samples = np.arange(5, dtype=np.uint64) << np.uint64(RESERVED_FIELD.low)
    return scoreboard, dense(WORDS | samples, 2)


def receive(scoreboard: Scoreboard, packet: LookupPacket, side: str = "nonpopular") -> None:
    scoreboard.receive(side, packet.tdata(), packet.tkeep())


def test_what_is_due(due) -> None:
    scoreboard, packet = due
    assert scoreboard.outstanding == 2
    receive(scoreboard, packet)
    receive(scoreboard, dense(WORDS[:0], 2), "popular")
    assert scoreboard.outstanding == 0
    with pytest.raises(AssertionError, match="packet 1: 5 words that nobody expects"):
        receive(scoreboard, packet)


def changed(packet: LookupPacket, lane: int, *, word: int = 0, keep: int = 0xFF) -> LookupPacket:
    words, keeps = packet.words.copy(), packet.keep.copy()
    words.flat[lane] ^= np.uint64(word)
    keeps.flat[lane] = keep
    return LookupPacket(words, keeps)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda packet: changed(packet, 3, word=1 << 62), "word 3 of 5: last=0x1 hit=0x1 .* must be .* hit=0x0"),
        (lambda packet: changed(packet, 4, keep=0), "6 word places for 4 words"),
        (lambda packet: dense(packet.lookups()[:4], 2), "4 words; it must have 5"),
        (lambda packet: changed(packet, 5), "6 words; it must have 5"),
        (lambda packet: changed(packet, 2, keep=0), "a gap between words"),
        (lambda packet: changed(packet, 4, keep=0x0F), "a word with some of its tkeep bits"),
    ],
)  # fmt: skip
def test_what_is_wrong(due, wrong, message: str) -> None:
    scoreboard, packet = due
    with pytest.raises(AssertionError, match=message):
        receive(scoreboard, wrong(packet))


def test_coverage_counts() -> None:
    coverage = Coverage(TINY)
    everything = list(coverage.meanings)
    assert coverage.missing() == everything
    scoreboard = Scoreboard(TINY, coverage)
    scoreboard.expect(dense(np.repeat(WORDS[:1], 4), 2), Phase.LEARN)
    scoreboard.select()
    scoreboard.expect(dense(np.repeat(WORDS[:1], 4), 2), Phase.CLASSIFY)
    assert coverage.counts["hazard_distance_1"] == 3
    assert coverage.counts["hit_way_0"] == 4
    assert coverage.counts["popular_packet_exact"] == coverage.counts["nonpopular_packet_empty"] == 1
    assert "eviction" in coverage.missing() and "fill" not in coverage.missing()
    with pytest.raises(KeyError, match="no coverpoint 'hit_way_4'"):
        coverage.hit("hit_way_4")
