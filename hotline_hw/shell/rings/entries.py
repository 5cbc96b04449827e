"""Layouts of ring entries, as `descriptors` describes them."""

from __future__ import annotations

from amaranth.lib import data

__all__ = ["COUNTS", "completion_layout", "descriptor_layout"]

COUNTS = ("samples", "popular_samples", "popular_words", "nonpopular_words", "listed", "held")
"""What a completion tells of the data, in its order."""


def descriptor_layout() -> data.StructLayout:
    """A descriptor. `operand`: tables, or bytes of a row."""
    return data.StructLayout(
        {
            "opcode": 8, "flags": 8, "reserved": 16, "tag": 32, "source": 64, "count": 32, "operand": 32,
            "targets": data.ArrayLayout(64, 3), "unused": 128,
        }
    )  # fmt: skip


def completion_layout() -> data.StructLayout:
    """A completion."""
    return data.StructLayout(
        {
            "tag": 32, "opcode": 8, "status": 8, "reserved": 15, "generation": 1, **dict.fromkeys(COUNTS, 32),
            "errors": 32, "cycles": 32, "address": 64, "unused": 128,
        }
    )  # fmt: skip
