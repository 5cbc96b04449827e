"""What a benchmark runs, checked before anything else is done."""

from __future__ import annotations

from dataclasses import dataclass

from hotline_device.registry import BACKENDS
from hotline_host.errors import SettingsError
from hotline_host.experiments.cosim_settings import CosimSettings

__all__ = ["CORE", "MODEL", "SimBenchSettings"]

CORE, MODEL = "verilated", "model"
"""The backends that are always measured: the hardware, and the golden model."""


@dataclass(frozen=True, kw_only=True)
class SimBenchSettings(CosimSettings):
    """What is measured, and how often. Popularity is learned, and training done, as in a co-simulation.

    Attributes:
        steps: training steps timed in each round, at least 1.
        rounds: repetitions of every measurement. The contenders take turns, and medians are over all rounds.
        stream_batches: most mini-batches of one LEARN or CLASSIFY measurement. Training learns from as many.
        rival: another backend that simulates a clock, to compare CORE with; None: none.
        rival_batches: mini-batches that the rival gets of these.
    """

    learn_share: float = 0.2
    batch_size: int = 2048
    model: str = "kaggle"
    steps: int = 8
    rounds: int = 3
    stream_batches: int = 8
    rival: str | None = "cocotb:verilator"
    rival_batches: int = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "rounds", "stream_batches", "rival_batches"):
            if getattr(self, name) < 1:
                raise SettingsError(f"{name.replace('_', ' ')} is {getattr(self, name)}; it must be at least 1")
        rivals = [one.name for one in BACKENDS.values() if one.simulates and one.has_clock and one.name != CORE]
        if self.rival is not None and self.rival not in rivals:
            raise SettingsError(f"rival is {self.rival!r}; it must be none or one of {', '.join(rivals)}")
