"""A mini-batch in the beats of s_axis_lookup: dense, or in any way that AXI4-Stream allows."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hotline_hw.spec.words import RESERVED_FIELD, WORD_BYTES

__all__ = ["LookupPacket", "dense", "sparse"]

_WHOLE = (1 << WORD_BYTES) - 1


@dataclass(frozen=True)
class LookupPacket:
    """One packet of s_axis_lookup.

    Attributes:
        words: uint64 [beats, lanes], tdata.
        keep: uint8 [beats, lanes], tkeep's bits for the bytes of each word. 0: there is no word. A word with only some
            of its bits is a lookup that is out of range: INDEX_RANGE.
    """

    words: np.ndarray
    keep: np.ndarray

    def tdata(self) -> bytes:
        return self.words.astype("<u8").tobytes()

    def tkeep(self) -> list[int]:
        """A bit for each byte of `tdata`."""
        return np.unpackbits(self.keep.reshape(-1, 1), axis=1, bitorder="little").ravel().tolist()

    def lookups(self) -> np.ndarray:
        """The lookup words for the golden model, uint64 [n].

        The model has no tkeep. A partial word is out of range, so a reserved bit is set in it, which makes a word out
        of range too and does not appear in the result word.
        """
        partial = (self.keep != _WHOLE).astype(np.uint64)
        return (self.words | partial << np.uint64(RESERVED_FIELD.low))[self.keep != 0]

    def beat_of_lookup(self) -> np.ndarray:
        """The beat of each of `lookups`, int64 [n]."""
        return np.nonzero(self.keep)[0]

    def is_sparse(self) -> bool:
        """Whether a word is missing in front of one that is there."""
        missing = (self.keep == 0).ravel()
        return bool((missing & (np.cumsum(~missing[::-1])[::-1] > 0)).any())

    def null_beats(self) -> np.ndarray:
        """Beats without a word, bool [beats]."""
        return (self.keep == 0).all(axis=1)

    def has_partial_words(self) -> bool:
        return bool(((self.keep != 0) & (self.keep != _WHOLE)).any())


def dense(words: np.ndarray, lanes: int) -> LookupPacket:
    """`words`, uint64 [n], in beats that are full except the last; without words, one null beat."""
    return _packet(words, np.arange(len(words)), lanes)


def sparse(
    rng: np.random.Generator, words: np.ndarray, lanes: int, *, gaps: float = 0.3, null_beats: float = 0.1,
    null_end: float = 0.3, partial: float = 0.0,
) -> LookupPacket:  # fmt: skip
    """`words`, uint64 [n], in order but spread out.

    Args:
        rng: the source of randomness.
        words: the lookup words.
        lanes: words in a beat.
        gaps: chance of a missing word before each word.
        null_beats: chance of a null beat somewhere before each word.
        null_end: chance that a null beat carries tlast.
        partial: chance that a word has only some bits of its tkeep.
    """
    skipped = (rng.random(len(words)) < gaps) + lanes * (rng.random(len(words)) < null_beats)
    packet = _packet(words, np.arange(len(words)) + np.cumsum(skipped), lanes, more_beats=int(rng.random() < null_end))
    chosen = (packet.keep != 0) & (rng.random(packet.keep.shape) < partial)
    packet.keep[chosen] = rng.integers(1, _WHOLE, int(chosen.sum()))
    # Words that are not kept must not matter.
    packet.words[packet.keep == 0] = rng.integers(0, 1 << 64, int((packet.keep == 0).sum()), dtype=np.uint64)
    return packet


def _packet(words: np.ndarray, places: np.ndarray, lanes: int, *, more_beats: int = 0) -> LookupPacket:
    """A packet with `words` at `places` (counted in words), followed by null beats."""
    beats = max(1, (int(places[-1]) // lanes + 1 if len(places) else 0) + more_beats)
    data, keep = np.zeros(beats * lanes, np.uint64), np.zeros(beats * lanes, np.uint8)
    data[places], keep[places] = words, _WHOLE
    return LookupPacket(data.reshape(beats, lanes), keep.reshape(beats, lanes))
