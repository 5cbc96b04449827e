"""Functional coverage: named coverpoints, each an event that a bench must have met."""

from __future__ import annotations

from collections import Counter

import numpy as np

from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import Command, Error, Phase
from hotline_hw.spec.words import SAMPLE_FIELD
from hotline_sim.model.core import GoldenCore

from .coverage_sample_aware import sample_aware_coverpoints
from .packets import LookupPacket

__all__ = ["SIDES", "Coverage", "coverpoints"]

SIDES = ("popular", "nonpopular")

_INPUT = {
    "sparse_beat": "a word missing in front of one that is there",
    "partial_word": "a word with some of its tkeep bits",
    "null_beat": "a beat without a word, tlast low",
    "null_beat_tlast": "a null beat that ends a mini-batch which has lookups",
    "dense_packet": "a mini-batch of full beats, the last full too",
}
_BUDGET = {
    "budget_zero": "LEARN with no row in the budget",
    "budget_all": "LEARN with as many rows in the budget as can be hot",
    "budget_uneven": "LEARN with one way more in some sets than in others",
    "budget_fewer_sets": "LEARN with fewer sets in use than there are",
}
_INSIDE = {
    "tag_write_holds_update": "a key being taken in, another update waiting for the tags' port",
    "update_queue_full": "a full queue of updates holding back a beat",
}
_RESULTS = {
    "straddling_popular": "a popular sample over several beats",
    "straddling_nonpopular": "a non-popular sample over several beats",
    "both_in_a_beat": "lookups of a popular and of a non-popular sample in one beat",
} | {
    f"{side}_packet_{kind}": f"a packet of results on m_axis_{side} that {what}"
    for side in SIDES
    for kind, what in (
        ("empty", "is a null beat"),
        ("exact", "ends with a full beat"),
        ("partial", "ends with a beat that is not full"),
    )
}
_CUTTING = {"split_beats": "a beat cut, more of its lookups going to one bank than bank_ports"}
_TIMING = {
    "bank_stall": "a full bank holding back a beat",
    "input_idle": "a core waiting for input inside a mini-batch",
    "output_stall": "a result stream waiting for its ready",
}


def coverpoints(geometry: Geometry, inside: bool = False) -> dict[str, str]:
    """Name and meaning of every coverpoint. `inside` adds those that need a simulator that shows internal signals."""
    relearn = {
        f"relearn_straddling_{verdict}": f"RELEARN: a {verdict} sample over several beats"
        for verdict in ("popular", "nonpopular")
    }
    return {
        **{f"phase_{phase.name}": f"a mini-batch in {phase.name}" for phase in Phase},
        **_INPUT,
        **_BUDGET,
        **{f"hit_way_{way}": f"a hit in way {way}" for way in range(geometry.ways)},
        **sample_aware_coverpoints(geometry),
        **relearn,
        **(_INSIDE if inside else {}),
        **_RESULTS,
        **_TIMING,
        **(_CUTTING if geometry.lanes > geometry.bank_ports else {}),
        **{f"error_{error.name}": f"{error.name} raised" for error in Error},
        **{f"command_{command.name}": f"{command.name} carried out" for command in Command},
        "command_HOT_ROWS": "HOT_ROWS written and accepted",
    }


class Coverage:
    """How often each coverpoint was met. Several benches may share one object.

    Args:
        geometry: the core's.
        inside: whether the simulator shows internal signals.
    """

    def __init__(self, geometry: Geometry, inside: bool = False) -> None:
        self.geometry = geometry
        self.meanings = coverpoints(geometry, inside)
        self.counts: Counter[str] = Counter()

    def hit(self, name: str, times: int = 1) -> None:
        """Counts `times` events of a coverpoint.

        Raises:
            KeyError: there is no such coverpoint.
        """
        if name not in self.meanings:
            raise KeyError(f"no coverpoint {name!r}")
        self.counts[name] += int(times)

    def missing(self) -> list[str]:
        return [name for name in self.meanings if not self.counts[name]]

    def table(self) -> str:
        """Every coverpoint: its count, name and meaning, a line each."""
        lines = [
            f"{self.counts[name]:>8}{' ' if self.counts[name] else '!'} {name:<24} {meaning}"
            for name, meaning in self.meanings.items()
        ]
        met = len(self.meanings) - len(self.missing())
        return "\n".join([*lines, f"{met} of {len(self.meanings)} coverpoints met"])

    # What a bench saw

    def offered(self, model: GoldenCore, packet: LookupPacket, phase: Phase) -> None:
        """A mini-batch is sent; `model` is in the state before it."""
        lookups, null = packet.lookups(), packet.null_beats()
        self.hit(f"phase_{phase.name}")
        self.hit("sparse_beat", packet.is_sparse())
        self.hit("partial_word", packet.has_partial_words())
        self.hit("null_beat", int(null[:-1].sum()))
        self.hit("null_beat_tlast", bool(null[-1]) and len(lookups) > 0)
        self.hit("dense_packet", bool(packet.keep.all()))
        if phase == Phase.LEARN:
            self._budget(model)

    def _budget(self, model: GoldenCore) -> None:
        self.hit("budget_zero", model.hot_rows == 0)
        self.hit("budget_all", model.hot_rows == self.geometry.hot_capacity)
        entries = model.hot_rows * self.geometry.entries_per_hot_row
        self.hit("budget_uneven", entries & ((1 << model.index_bits) - 1) != 0)
        self.hit("budget_fewer_sets", model.index_bits < self.geometry.index_bits)

    def classified(self, packet: LookupPacket, results: dict[str, np.ndarray], phase: Phase) -> None:
        """The result words, by side, of a mini-batch that was classified."""
        for side, words in results.items():
            kind = "partial" if len(words) % self.geometry.lanes else "exact" if len(words) else "empty"
            self.hit(f"{side}_packet_{kind}")

        # Every lookup is in one of the packets, so they give the length and the verdict of each sample.
        samples = {
            side: (words >> SAMPLE_FIELD.low & SAMPLE_FIELD.mask).astype(np.int64) for side, words in results.items()
        }
        lengths = np.bincount(np.concatenate(list(samples.values())))
        ends = np.cumsum(lengths)
        beats = packet.beat_of_lookup()
        if not len(beats):
            return
        straddles = beats[ends - lengths] != beats[ends - 1]
        popular = np.zeros(len(lengths), bool)
        popular[samples["popular"]] = True
        for prefix in ("", "relearn_") if phase == Phase.RELEARN else ("",):
            self.hit(f"{prefix}straddling_popular", (straddles & popular).sum())
            self.hit(f"{prefix}straddling_nonpopular", (straddles & ~popular).sum())
        verdict = np.repeat(popular, lengths)
        mixed = np.intersect1d(beats[verdict], beats[~verdict])
        self.hit("both_in_a_beat", len(mixed))
