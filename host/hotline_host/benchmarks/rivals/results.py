"""Results of a benchmark of training. `RivalResult.as_dict` gives what goes into JSON; None: no such figure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

__all__ = ["BOUND", "REFERENCE", "Case", "Ratio", "RivalFigures", "RivalResult"]

BOUND = "resident"
"""The rival with all rows in device memory: none that trains as it does can be faster."""
REFERENCE = "ordinary"
"""The rival whose losses the others' must equal: embedding rows in host memory, the published baseline."""


@dataclass(frozen=True)
class Ratio:
    """How many times as fast as another rival: median, least and most over the rounds that both have."""

    median: float
    least: float
    most: float

    @classmethod
    def of(cls, seconds: list[float], others: list[float]) -> Ratio | None:
        """Of seconds a step, round by round; None before the first round of both."""
        values = [other / own for own, other in zip(seconds, others, strict=False)]
        return cls(median(values), min(values), max(values)) if values else None


@dataclass
class RivalFigures:
    """One rival in one case. All but the first six figures come after its last round.

    Attributes:
        round_seconds: seconds a step, the mean of each round.
        host_cpu_seconds: of all threads of this process, a step. Where the golden model stands for the accelerator,
            its simulation is in them.
        link_bytes_in, link_bytes_out: to and from the device, a step, counted by the pipeline: the mean of all rounds.
        hbm_bytes: device memory that the rival holds.
        host_bytes: what the process grew by while the rival was built and prepared.
        gpu_busy: share of the time in which a kernel ran; None without CUDA.
        auc: of the samples that were kept for the test, after the last round.
        max_loss_difference: from REFERENCE's, over all steps; None for itself, or without it.
        popular_share, cold_rows: of the mini-batches that were split: popular samples, and unique cold rows each.
        path: seconds a step by what they were spent on, from `figures().seconds`: the mean of all rounds.
    """

    batch_size: int
    round_seconds: list[float] = field(default_factory=list)
    round_cpu_seconds: list[float] = field(default_factory=list)
    link_bytes_in: float = 0.0
    link_bytes_out: float = 0.0
    hbm_bytes: int = 0
    host_bytes: int = 0
    path: dict[str, float] = field(default_factory=dict)
    popular_share: float | None = None
    cold_rows: float | None = None
    gpu_busy: float | None = None
    auc: float | None = None
    max_loss_difference: float | None = None

    @property
    def seconds_per_step(self) -> float:
        return median(self.round_seconds)

    @property
    def samples_per_second(self) -> float:
        return self.batch_size / self.seconds_per_step

    def as_dict(self) -> dict[str, Any]:
        figures = asdict(self)
        figures.pop("batch_size")
        return {
            "seconds_per_step": self.seconds_per_step,
            "seconds_per_step_least": min(self.round_seconds),
            "seconds_per_step_most": max(self.round_seconds),
            "samples_per_second": self.samples_per_second,
            "host_cpu_seconds": median(self.round_cpu_seconds),
            "link_bytes": self.link_bytes_in + self.link_bytes_out,
            **figures,
        }


@dataclass
class Case:
    """All rivals with one batch size, number of threads and budget.

    Attributes:
        threads: of the host.
        hbm: "equal" or "all".
        hot_rows: that a rival may keep on the device, if it chooses some.
        hbm_budget_bytes: of these, with their state.
        hbm_limit_bytes: of the device memory that a rival may fill; `resident` may not fit it.
        rivals: those that ran at least one round, by name.
        skipped: why the others did not, or did not go on.
    """

    batch_size: int
    threads: int
    hbm: str
    hot_rows: int
    hbm_budget_bytes: int
    hbm_limit_bytes: int
    rivals: dict[str, RivalFigures] = field(default_factory=dict)
    skipped: dict[str, str] = field(default_factory=dict)

    def ratio(self, name: str, other: str) -> Ratio | None:
        """How many times as fast as `other` a rival is; None if `other` did not run."""
        if name not in self.rivals or other not in self.rivals:
            return None
        return Ratio.of(self.rivals[name].round_seconds, self.rivals[other].round_seconds)

    def as_dict(self) -> dict[str, Any]:
        return {
            "batch_size": self.batch_size, "threads": self.threads, "hbm": self.hbm, "hot_rows": self.hot_rows,
            "hbm_budget_bytes": self.hbm_budget_bytes, "hbm_limit_bytes": self.hbm_limit_bytes,
            "rivals": {name: each.as_dict() for name, each in self.rivals.items()},
            "skipped": dict(self.skipped),
            "ratios": {
                name: {
                    other: asdict(ratio) for other in (BOUND, REFERENCE) if (ratio := self.ratio(name, other))
                }
                for name in self.rivals
            },
        }  # fmt: skip


@dataclass
class RivalResult:
    """A whole benchmark, or as much of it as is done.

    Attributes:
        machine: as `machine_figures` gives it, for the top of the JSON.
        data: the log, as `load` takes it.
        rows, rows_share: of all tables, and of the full vocabulary; `rows_share_asked` if memory had no room for it.
        table_bytes: of all rows with their state.
        accelerator: what answered for it.
        finished: all cases are there.
    """

    machine: dict[str, Any]
    config: str
    data: str
    device: str
    dtype: str
    dimension: int
    rows: int
    rows_share: float
    rows_share_asked: float
    table_bytes: int
    accelerator: str
    steps: int
    rounds: int
    seed: int
    cases: list[Case] = field(default_factory=list)
    peak_host_bytes: int = 0
    finished: bool = False

    def as_dict(self) -> dict[str, Any]:
        """The first case's figures stand at the top too; all of them are in `cases`."""
        figures = {name: value for name, value in vars(self).items() if name not in ("machine", "cases")}
        cases = [case.as_dict() for case in self.cases]
        return self.machine | figures | (cases[0] if cases else {}) | {"cases": cases}
