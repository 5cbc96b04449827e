"""Results of `split` and `cosim`. `as_dict` gives what goes into JSON; None stands for what there is none of."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from hotline_host.data.log import Log
from hotline_hw.spec.params import Geometry

if TYPE_CHECKING:  # torch takes seconds to load, and no command needs it before it begins
    from torch import nn

    from hotline_host.training.ranks import Ranks

from .history import GatherFigures, History, SplitFigures
from .lanes import LaneFigures
from .settings import Settings

__all__ = ["CosimResult", "LogFigures", "NetworkFigures", "PipelineResult", "RunFigures", "SplitResult", "TrainFigures"]


@dataclass(frozen=True)
class LogFigures:
    """What a log is, and what was done to it: the treatment of rare values, and the lines that were left out."""

    data: str
    rule: str
    skipped_lines: int
    log_samples: int
    tables: int
    rows: int

    @classmethod
    def of(cls, log: Log) -> LogFigures:
        return cls(log.name, log.rule, log.skipped, log.size, len(log.tables), int(log.rows.sum()))


@dataclass(frozen=True)
class RunFigures:
    """The accelerator, and what it was asked to do.

    Attributes:
        memory: what was simulated behind it; None on a backend that does not simulate it.
        learned_samples: from the front of the log.
        samples: that were split or trained on after them.
    """

    backend: str
    memory: str | None
    preset: str
    geometry: dict[str, Any]
    batch_size: int
    learned_samples: int
    samples: int
    hot_rows: int
    relearn_share: float
    select_every: int
    move_limit: int | None
    learn_by: str

    @classmethod
    def of(
        cls, settings: Settings, geometry: Geometry, backend: str, *, learned: int, samples: int, hot_rows: int
    ) -> RunFigures:
        return cls(
            backend=backend, memory=settings.device_options(backend).get("timing"), preset=geometry.name,
            geometry=geometry.as_dict(), batch_size=settings.batch_size, learned_samples=learned, samples=samples,
            hot_rows=hot_rows, relearn_share=settings.relearn_share, select_every=settings.select_every,
            move_limit=settings.move_limit, learn_by=settings.learn_by,
        )  # fmt: skip


@dataclass(frozen=True)
class SplitResult:
    """S classified samples, in input order.

    Attributes:
        lanes: how busy the core's lanes were, by "learned" and "classified".
        popular: bool [S], every lookup of the sample hit.
        slots: int64 [n], slot of each lookup's row, -1 if it is cold. Rows may move between mini-batches.
        offsets: int64 [S + 1], sample s holds lookups `offsets[s]` to `offsets[s + 1]`. These three may be None: they
            grow with the log.
        seconds: wall time by what it was spent on; `load_seconds` is what loading the log took.
    """

    log: LogFigures
    run: RunFigures
    split: SplitFigures
    lanes: dict[str, LaneFigures]
    popular: np.ndarray | None
    slots: np.ndarray | None
    offsets: np.ndarray | None
    seconds: dict[str, float] = field(default_factory=dict)
    load_seconds: float = 0.0

    def arrays(self) -> dict[str, np.ndarray]:
        """What was kept of every sample and lookup, by name."""
        kept = {"popular": self.popular, "slots": self.slots, "offsets": self.offsets}
        return {name: array for name, array in kept.items() if array is not None}

    def as_dict(self) -> dict[str, Any]:
        """Everything but the arrays."""
        return (
            asdict(self.log)
            | asdict(self.run)
            | asdict(self.split)
            | {"lanes": {kind: asdict(figures) for kind, figures in self.lanes.items()}}
            | {"seconds": {"load": self.load_seconds, **self.seconds}}
        )


@dataclass(frozen=True)
class TrainFigures:
    """What was trained, and how. `placed_rows` were hot before the first step."""

    model: str
    dimension: int
    optimizer: str
    rate: float
    eps: float
    device: str
    dtype: str
    seed: int
    test_samples: int
    steps: int
    placed_rows: int


@dataclass(frozen=True)
class PipelineResult:
    """What came of one pipeline.

    Attributes:
        loss: mean over the last tenth of the steps.
        auc: of the test part; None unless that has samples of both classes.
        max_loss_difference: the largest difference of any step's loss from the first pipeline's; None for the first.
        max_parameter_difference: that of any parameter or optimizer state at the end.
        losses: of every step, the mean BCE of the mini-batch before it.
        seconds: wall time by what it was spent on. Of `train`, these are parts: `launch`, starting steps; `wait`, for
            the accelerator or for what prepares a step. Beside training run `accelerator` and `plan`.
        popular_share: of the samples; None if the pipeline does not split.
        fetched_rows: rows that came from host memory for a mini-batch, the mean.
    """

    loss: float
    auc: float | None
    max_loss_difference: float | None
    max_parameter_difference: float | None
    losses: list[float]
    seconds: dict[str, float]
    popular_share: float | None
    fetched_rows: float | None


@dataclass(frozen=True)
class NetworkFigures:
    """What crossed the network in the steps of the first pipeline, between all ranks.

    Attributes:
        ranks: N.
        steps: that this was in.
        sent: bytes, by what they were. Gradients of dense parameters are as a ring sends them, each 2 (N - 1) times.
        least: bytes of embedding rows and their gradients that had to cross in any case: see `pool.exchange.Exchange`.
    """

    ranks: int
    steps: int
    sent: dict[str, int]
    least: int

    @classmethod
    def of(cls, ranks: Ranks, model: nn.Module) -> NetworkFigures | None:
        """Called by all ranks together. None: there is no network."""
        traffic = ranks.traffic
        if traffic is None:
            return None
        own = traffic.of_rows()
        every = ranks.agree([*own.values()]).sum(axis=0).tolist()
        sent = {what: count for what, count in zip(own, every, strict=True) if count}
        dense = sum(parameter.nbytes for parameter in model.parameters())
        sent["dense gradients"] = 2 * (ranks.count - 1) * dense * traffic.steps
        return cls(ranks.count, traffic.steps, sent, traffic.least)


@dataclass(frozen=True)
class CosimResult:
    """What came of a co-simulation.

    Attributes:
        split, gather: of the pipeline that splits; None if none does.
        pipelines: by name, in the order in which they trained. The others are compared to the first.
        history: of every step.
        network: None: one process.
        load_seconds: what loading the log took.
    """

    log: LogFigures
    run: RunFigures
    training: TrainFigures
    split: SplitFigures | None
    gather: GatherFigures | None
    pipelines: dict[str, PipelineResult]
    history: History
    network: NetworkFigures | None = None
    load_seconds: float = 0.0

    @property
    def first(self) -> PipelineResult:
        return next(iter(self.pipelines.values()))

    @property
    def baseline(self) -> PipelineResult | None:
        """The second pipeline."""
        return next(iter(list(self.pipelines.values())[1:]), None)

    def as_dict(self) -> dict[str, Any]:
        """All figures. `loss`, `auc` and `seconds` are the first pipeline's, `baseline_...` the second's."""
        first, baseline = self.first, self.baseline
        figures = asdict(self.log) | asdict(self.run) | asdict(self.training)
        figures |= asdict(self.split) if self.split else dict.fromkeys(SplitFigures.__dataclass_fields__)
        figures |= asdict(self.gather) if self.gather else dict.fromkeys(GatherFigures.__dataclass_fields__)
        return figures | {
            "network": self.network and asdict(self.network),
            "loss": first.loss,
            "baseline_loss": baseline and baseline.loss,
            "max_loss_difference": baseline and baseline.max_loss_difference,
            "max_parameter_difference": baseline and baseline.max_parameter_difference,
            "auc": first.auc,
            "baseline_auc": baseline and baseline.auc,
            "seconds": {"load": self.load_seconds, **first.seconds, "baseline": baseline and baseline.seconds["train"]},
            "pipelines": {name: asdict(result) for name, result in self.pipelines.items()},
            "history": asdict(self.history)
            | {"losses": first.losses, "baseline_losses": baseline.losses if baseline else []},
        }
