"""Rows as `row_beat`s, each a row of 32-bit words as a VerilatedBlock takes it: the beat's data, then its flags."""

from __future__ import annotations

import numpy as np

from hotline_hw.spec.params import Geometry

__all__ = ["geometry", "known_bits", "row_beats"]


def geometry(axi_bits: int) -> Geometry:
    """A small accelerator with a bus of this width."""
    return Geometry(
        lanes=8, banks=2, sets=2, ways=8, entries_per_hot_row=2, axi_bits=axi_bits, working_rows=4, read_tags=2,
        read_beats=32,
    )  # fmt: skip


def row_beats(geometry: Geometry, rows: np.ndarray, bag_lengths: np.ndarray, packet_lengths: np.ndarray) -> np.ndarray:
    """The beats, uint32 [beats, words].

    Args:
        rows: [n, elements] of any type; whole granules each.
        bag_lengths: rows in each bag. packet_lengths: bags in each packet, at whose end `last` is.
    """
    count, words = len(rows), geometry.axi_bits // 32
    content = np.ascontiguousarray(rows).view(np.uint8).reshape(count, -1)
    granules = content.shape[1] // 16
    beats = -(-granules // geometry.granules)
    padded = np.zeros((count, beats * geometry.axi_bytes), dtype=np.uint8)
    padded[:, : content.shape[1]] = content
    full = np.zeros((4, count, beats), dtype=np.uint32)  # count, row_last, bag_last, last
    ends = np.cumsum(bag_lengths) - 1
    full[0] = geometry.granules
    full[0, :, -1] = granules - geometry.granules * (beats - 1)
    full[1, :, -1] = 1
    full[2, ends, -1] = 1
    full[3, ends[np.cumsum(packet_lengths) - 1], -1] = 1
    count_bits = geometry.granules.bit_length()
    flags = full[0] | full[1] << count_bits | full[2] << count_bits + 1 | full[3] << count_bits + 2
    return np.column_stack([padded.view(np.uint32).reshape(-1, words), flags.reshape(-1)])


def known_bits(geometry: Geometry, beats: np.ndarray) -> np.ndarray:
    """The beats with zeros in granules above their count, where anything may be."""
    granules = beats[:, -1:] & ((1 << geometry.granules.bit_length()) - 1)
    known = np.ones_like(beats, dtype=bool)
    known[:, :-1] = np.arange(beats.shape[1] - 1) < 4 * granules
    return np.where(known, beats, 0)
