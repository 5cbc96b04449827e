"""The accelerator's own tracker, as the hardware does it: the golden model, mini-batch by mini-batch."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from hotline_host.errors import SettingsError
from hotline_host.tracking.aging import AgingControl
from hotline_host.tracking.controller import TrackerController, read_closing
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.policy import Policy
from hotline_hw.spec.regmap import Phase
from hotline_hw.spec.words import HIT_FIELD, LAST_FIELD, SAMPLE_FIELD
from hotline_sim.model.compiled.core import CompiledCore

from .judging import Counts, tally
from .stream import Chunk, Stream

__all__ = ["Design", "SampleAware"]

_MAX_LOOKUPS = 4096  # of a sample: the largest that a geometry may have
_LAST, _HIT = np.uint64(1 << LAST_FIELD.low), np.uint64(1 << HIT_FIELD.low)


@dataclass(frozen=True, kw_only=True)
class Design:
    """How the tracker is built and set. The defaults are those of the presets and of the registers.

    Attributes:
        entries_per_hot_row, ways, counter_bits, max_moves: as in `Geometry`.
        by_bag: learn from every bag as if it were a sample, in a second pass, as `Driver.classify` does.
        policy: as in `hotline_hw.spec.policy`, except for age_period.
        age_period: as in the policy. If None, `AgingControl` sets it, as in the driver.
    """

    entries_per_hot_row: int = 2
    ways: int = 16
    counter_bits: int = 8
    max_moves: int = 65535
    by_bag: bool = False
    policy: Policy = field(default_factory=Policy)
    age_period: int | None = None

    def geometry(self, hot_rows: int) -> Geometry:
        """An accelerator that holds this many hot rows and accepts samples of any size that a geometry allows."""
        sets = 2
        while 2 * sets * self.ways < hot_rows * self.entries_per_hot_row:
            sets *= 2
        return Geometry(
            name="ours", lanes=2, banks=2, sets=sets, ways=self.ways, counter_bits=self.counter_bits,
            entries_per_hot_row=self.entries_per_hot_row, max_moves=self.max_moves, bank_ports=2,
            max_lookups=_MAX_LOOKUPS, max_samples=1 << SAMPLE_FIELD.width,
        )  # fmt: skip


class SampleAware:
    """Every chunk is a mini-batch. It is classified and learned from (RELEARN), and a SELECT follows.

    Raises:
        SettingsError: a sample has more lookups than any geometry accepts.
    """

    def __init__(self, stream: Stream, hot_rows: int, design: Design) -> None:
        if stream.longest > _MAX_LOOKUPS:
            raise SettingsError(
                f"a sample has {stream.longest} lookups; the accelerator takes at most {_MAX_LOOKUPS}, so leave its "
                "trackers out, with --trackers"
            )
        self._keys = stream.keys
        self._by_bag = design.by_bag
        self._core = CompiledCore(design.geometry(hot_rows))
        self._core.set_hot_rows(hot_rows)
        if design.age_period is None:
            self._controller = TrackerController(design.policy, AgingControl())
        else:
            self._controller = TrackerController(replace(design.policy, age_period=design.age_period))
        self._configure()

    def run(self, chunk: Chunk, learn: bool) -> Counts:
        counts = np.diff(chunk.offsets)
        words = self._keys[chunk.rows]
        words[chunk.offsets[1:][counts > 0] - 1] |= _LAST
        phase = Phase.RELEARN if learn and not self._by_bag else Phase.CLASSIFY
        packets = self._core.run_batch(words, phase) if len(words) else ()
        if learn and self._by_bag and len(words):
            bags = chunk.lengths.ravel()
            words[np.cumsum(bags)[bags > 0] - 1] |= _LAST
            self._core.run_batch(words, Phase.LEARN)
        if learn:
            self._select()
        # Samples come back whole and numbered, popular ones apart. A stable sort restores the input order.
        results = np.concatenate([*packets, np.empty(0, np.uint64)])
        order = np.argsort(results >> SAMPLE_FIELD.low & SAMPLE_FIELD.mask, kind="stable")
        return tally((results[order] & _HIT) != 0, chunk)

    def _select(self) -> None:
        core, geometry = self._core, self._core.geometry
        closing = read_closing(core.select()[-1])
        self._controller.selected(
            closing, revivals=core.counters["revivals"], returns=core.counters["returns"], budget=core.hot_rows,
            sets=1 << core.index_bits - geometry.bank_bits,
        )  # fmt: skip
        core.reset_counters()
        self._configure()

    def _configure(self) -> None:
        self._core.policy.__dict__.update(vars(self._controller.policy))
