"""Faults put into WorkingList one by one. Each is shown by the simulation against the golden model, or by the proof."""

from __future__ import annotations

__all__ = ["MUTANTS", "PROVEN"]

MUTANTS = {
    "a row that is being written is not known": ("follows = same_row & wrote", "follows = same_row & 0"),
    "what is being written is free": ("occupied = same_target & wrote", "occupied = same_target & 0"),
    "what the fourth ahead wrote is not seen": ("wrote.eq(Cat(insert, wrote))", "wrote.eq(Cat(insert, wrote[:2]))"),
    "what is read while it is written counts": ("known.eq(here.match & ~occupied[-1] |", "known.eq(here.match |"),
    "the place of another": ("past[0].eq(place)", "past[0].eq(known)"),
    "a row too many is listed": ("room.eq(~total[-1])", "room.eq(1)"),
    "held is what the last entry says": (
        "before.held.eq(Mux(compared.before_done, compared.held, was_match))", "before.held.eq(was_match)",
    ),
    "one look at the table before": ("before.known.eq(compared.before_done | was_match | ~was_used)",
                                     "before.known.eq(1)"),
    "the last entry is written": ("Mux(entry.found_free, entry.target, entry.index)", "entry.index"),
    "an entry is looked at for ever": ("entry.index.eq(decided.index + 1)", "entry.index.eq(decided.index)"),
    "a free entry found goes to the next search": ("entry.found_free.eq(0), entry", "entry"),
    "what was before goes to the next search": ("entry.before_done.eq(0),", ""),
    "what came behind goes on": ("*(stage.valid.eq(0) for stage in stages[1:]),", ""),
    "what came behind is lost": ("entering.eq(following), entry", "entry"),
    "both lists from the bottom": ("Mux(is_held, ~number, number)[: g.local_bits]", "number[: g.local_bits]"),
    "all are counted as held": ("self.held_count + (insert & before.held)", "self.held_count + insert"),
    "what is not to be listed is": ("passes.eq(compared.hit | ~self.enable)", "passes.eq(compared.hit)"),
    "nothing is emptied at reset": ("Signal(2, init=3)", "Signal(2)"),
    "no walk when epochs come round": ("[walk.eq(0), walking[side].eq(1)]", "walk.eq(0)"),
    "there was one before the first": ("used[side].eq(begun[side] & (", "used[side].eq(("),
}  # fmt: skip

PROVEN = (
    "what is read while it is written counts", "all are counted as held", "what is not to be listed is",
    "nothing is emptied at reset", "no walk when epochs come round", "there was one before the first",
)  # fmt: skip
"""Those that 20 cycles of the proof show. In a simulation memory begins with zeros, and a read beside a write of the
same row gives the old one. In the proof both may be anything."""
