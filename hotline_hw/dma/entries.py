"""Layouts of ring entries, as `descriptors` describes them."""

from __future__ import annotations

from amaranth.lib import data

__all__ = ["completion_layout", "descriptor_layout"]


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
            "tag": 32, "opcode": 8, "status": 8, "reserved": 15, "generation": 1, "samples": 32, "popular_samples": 32,
            "popular_words": 32, "nonpopular_words": 32, "listed": 32, "held": 32, "errors": 32, "cycles": 32,
            "address": 64, "unused": 128,
        }
    )  # fmt: skip
