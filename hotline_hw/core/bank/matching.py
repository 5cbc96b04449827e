"""Tag compare in two stages: equality of parts of a tag, then of the whole."""

from __future__ import annotations

from amaranth.hdl import Cat, Value

__all__ = ["PART_BITS", "equal_parts"]

PART_BITS = 12
"""Bits of a tag that are compared in the first stage as one. That is two LUT6, or three LUT4, in a row."""


def equal_parts(word: Value, tag: Value) -> Value:
    """For each part of a tag, whether both are equal there. They are equal if all parts are."""
    return Cat(word[low : low + PART_BITS] == tag[low : low + PART_BITS] for low in range(0, len(tag), PART_BITS))
