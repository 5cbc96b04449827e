"""Variants of the accelerator's own tracker, with one parameter varied at a time."""

from __future__ import annotations

from dataclasses import replace

from hotline_hw.spec.policy import Policy
from hotline_hw.spec.regmap import WEIGHTS

from .judging import Counts, Trial
from .ours import Design
from .stream import Stream
from .trackers import Run, sample_aware

__all__ = ["SWEEPS"]

_WEIGHTS = {
    "16 / (1 + misses)": WEIGHTS,
    "16 / (1 + misses)^2": (16, 4, 2, *[1] * 13),
    "1 (frequency)": (1,) * 16,
}


def _design(**changes: object) -> Run:
    return lambda stream, rows, trial: sample_aware(stream, rows, trial, replace(Design(), **changes))  # type: ignore[arg-type]


def _select_every(samples: int) -> Run:
    def run(stream: Stream, rows: int, trial: Trial) -> Counts:
        return sample_aware(stream, rows, replace(trial, select_every=samples), Design())

    return run


SWEEPS: dict[str, dict[str, Run]] = {
    "entries per hot row": {str(count): _design(entries_per_hot_row=count) for count in (2, 3, 4)},
    "ways": {str(ways): _design(ways=ways) for ways in (4, 8, 16, 32)},
    "counter bits": {str(bits): _design(counter_bits=bits) for bits in (4, 5, 6, 8, 10, 12)},
    "weights": {name: _design(policy=Policy(weights=weights)) for name, weights in _WEIGHTS.items()},
    "age period": {"set by what is seen": _design()}
    | {str(period): _design(age_period=period) for period in (2, 8, 32, 64)}
    | {"never": _design(age_period=0)},
    "samples between SELECTs": {str(samples): _select_every(samples) for samples in (128, 512, 2048, 8192)},
    "hysteresis shift": {str(shift): _design(policy=Policy(hysteresis=shift)) for shift in (1, 2, 3, 15)},
    "rows that may move in a SELECT": {str(rows): _design(max_moves=rows) for rows in (64, 256, 1024, 4096)},
}
"""By parameter, then by its value."""
