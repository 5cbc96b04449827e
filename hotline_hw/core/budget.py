"""The run-time budget: which sets and ways are in use for a number of hot rows."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Signal
from amaranth.lib import data

from hotline_hw.spec.params import Geometry

__all__ = ["derive_budget", "tracker_budget"]


def tracker_budget(geometry: Geometry) -> data.StructLayout:
    """The budget as it is broadcast to every bank.

    set_mask: sets in use.
    ways_low: ways in use of a set from `boundary` up, a bit each.
    ways_high: ways in use of a set below `boundary`.
    boundary: a global set index.
    shift: log2 of the sets in use in one bank.
    """
    return data.StructLayout(
        {
            "set_mask": geometry.set_bits,
            "ways_low": geometry.ways,
            "ways_high": geometry.ways,
            "boundary": geometry.index_bits,
            "shift": range(geometry.set_bits + 1),
        }
    )


def derive_budget(m: Module, geometry: Geometry, hot_rows: Signal, budget: data.View) -> None:
    """Makes the registers of `budget` follow `hot_rows` within five cycles.

    `Geometry.index_bits_in_use` has the rule.
    """
    g = geometry
    quota = Signal(g.quota_bits)
    entries = Signal(g.entries_bits)
    m.d.sync += entries.eq(hot_rows * g.entries_per_hot_row)
    beyond = Signal(g.set_bits)
    m.d.sync += [
        beyond.eq(Cat(entries > (g.ways << (g.bank_bits + shift)) for shift in range(g.set_bits))),
        budget.shift.eq(sum((beyond[shift] for shift in range(g.set_bits)), Const(0))),
    ]
    choices = range(g.set_bits + 1)
    m.d.sync += [
        budget.set_mask.eq(Array(Const((1 << shift) - 1, g.set_bits) for shift in choices)[budget.shift]),
        quota.eq(Array(entries >> (g.bank_bits + shift) for shift in choices)[budget.shift]),
        budget.boundary.eq(Array(entries[: g.bank_bits + shift] for shift in choices)[budget.shift]),
        budget.ways_low.eq(Cat(quota > way for way in range(g.ways))),
        budget.ways_high.eq(Cat(quota >= way for way in range(g.ways))),
    ]
