"""What a benchmark of training runs, checked before anything else is done."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from hotline_host.errors import SettingsError
from hotline_host.experiments.settings import check_seed

from .configs import BenchConfig, find_config

__all__ = ["ALL_THREADS", "HBM", "RivalSettings"]

ALL_THREADS = 0
"""In `threads`: as many as torch takes by itself."""
HBM = ("equal", "all")


@dataclass(frozen=True, kw_only=True)
class RivalSettings:
    """What is measured, and how often. Every combination of batch size, threads and budget is one case.

    Attributes:
        config: a key of CONFIGS.
        device: torch's: cpu, cuda or cuda:NUMBER.
        rivals: names of RIVALS; empty: all.
        batch_sizes: samples in a mini-batch.
        rows: share of the full vocabulary. Less is taken where memory has no room for it.
        hot_rows: rows that a rival may choose to keep on the device, with `hbm` equal; None: the configuration's share.
        hbm: "equal" gives all that choose rows `hot_rows`; "all" gives each what device memory there is.
        steps: timed steps in a round; WARM more come before them.
        rounds: the rivals take turns in each.
        learn: mini-batches to learn popularity from.
        test: mini-batches to judge the result by.
        threads: of the host; ALL_THREADS: all.
        preset: geometry of the accelerator.
        recording: file of what an accelerator answered, to be replayed. It says itself which mini-batches, of what
            share of the vocabulary, seed and hot rows. None: the golden model answers, and its time is in the host's.
        seed: of log and parameters.
    """

    config: str = "kaggle"
    device: str = "cpu"
    rivals: tuple[str, ...] = ()
    batch_sizes: tuple[int, ...] = (2048,)
    rows: float = 1.0
    hot_rows: int | None = None
    hbm: tuple[str, ...] = ("equal",)
    steps: int = 20
    rounds: int = 3
    learn: int = 16
    test: int = 4
    threads: tuple[int, ...] = (ALL_THREADS,)
    preset: str = "kaggle"
    recording: Path | None = None
    optimizer: str = "adagrad"
    rate: float = 0.005
    eps: float = 1e-3
    seed: int = 0

    def __post_init__(self) -> None:
        find_config(self.config)
        check_seed(self.seed)
        for name in ("steps", "rounds", "learn", "test"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name} is {getattr(self, name)}; it must be at least 1")
        if not self.batch_sizes or min(self.batch_sizes) < 1:
            raise SettingsError(f"batch sizes are {self.batch_sizes}; give one or more, each at least 1")
        if not self.threads or min(self.threads) < 0:
            raise SettingsError(f"threads are {self.threads}; give one or more numbers above 0, or all")
        if not 0 < self.rows <= 1:
            raise SettingsError(f"rows is {self.rows}; it must be a share above 0, at most 1")
        if self.hot_rows is not None and self.hot_rows < 0:
            raise SettingsError(f"hot rows is {self.hot_rows}; it must be 0 or more")
        if not self.hbm or {*self.hbm} - {*HBM}:
            raise SettingsError(f"hbm is {','.join(self.hbm)!r}; it must be one or both of {', '.join(HBM)}")
        if self.recording is not None and self.hbm != ("equal",):
            raise SettingsError(
                f"hbm is {','.join(self.hbm)!r}, but a recording is of its own number of hot rows; give equal"
            )

    @property
    def configuration(self) -> BenchConfig:
        return find_config(self.config)
