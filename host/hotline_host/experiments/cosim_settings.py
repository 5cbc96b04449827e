"""How to train. Everything is checked before anything else is done."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from hotline_host.data.log import Log
from hotline_host.errors import SettingsError
from hotline_host.pipelines.pipeline import AcceleratorOptions, Setup
from hotline_host.pipelines.registry import PIPELINES
from hotline_host.training.dlrm import ModelConfig
from hotline_host.training.trainer import TrainConfig
from hotline_hw.spec.descriptors import GRANULE_BYTES, MAX_ROW_BYTES
from hotline_hw.spec.params import Geometry

from .memory import check_memory
from .settings import Settings, check_seed

__all__ = ["DTYPES", "MODELS", "CosimSettings", "torch_device"]

DTYPES = {"float32": torch.float32, "float64": torch.float64}
SCHEDULES = ("pool", "split")
MODELS = {"small": ModelConfig(), "kaggle": ModelConfig.kaggle()}


@dataclass(frozen=True, kw_only=True)
class CosimSettings(Settings):
    """How to train, and what the accelerator does. The defaults suit ml-100k.

    Attributes:
        passes: passes over the training part.
        steps: steps instead of passes, unless 0. After a pass the training part begins again.
        test_share: share of the log, from its end, that is kept to judge the result.
        optimizer, rate, eps: as in `TrainConfig`.
        model: widths, a key of MODELS; `dimension` replaces its D unless it is None.
        device: where torch trains: cpu, cuda, cuda:1, ...
        dtype: a key of DTYPES.
        seed: of the initial parameters.
        schedule: of pipelines that have both: "pool" trains on the whole mini-batch at once; "split" on the popular
            samples while the rows of the others come.
        tables: see `Setup.folder`; `lazy`: see `Setup`.
        save: folder to keep checkpoints in; `save_every`: steps between two, 0 for one at the end alone.
        resume: folder of checkpoints to go on from.
        check: see `Setup`; `autocast`: see `TrainConfig`.
        pipelines: keys of PIPELINES. Each trains from the same seed on the same mini-batches; the others are compared
            to the first.
    """

    learn_share: float = 0.3
    batch_size: int = 128
    passes: int = 4
    steps: int = 0
    test_share: float = 0.1
    optimizer: str = "adagrad"
    rate: float = 0.005
    eps: float = 1e-3
    model: str = "small"
    dimension: int | None = None
    device: str = "cpu"
    dtype: str = "float32"
    seed: int = 0
    schedule: str = "pool"
    tables: Path | None = None
    lazy: bool = False
    save: Path | None = None
    save_every: int = 0
    resume: Path | None = None
    check: bool = False
    autocast: bool = False
    pipelines: tuple[str, ...] = ("hotline",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.passes < 1:
            raise SettingsError(f"passes is {self.passes}; it must be at least 1")
        if self.steps < 0:
            raise SettingsError(f"steps is {self.steps}; it must be 0 (as many as the passes have) or more")
        check_seed(self.seed)
        if self.save_every < 0:
            raise SettingsError(f"save every is {self.save_every}; it must be 0 (at the end alone) or more steps")
        if self.save_every and not self.save:
            raise SettingsError(f"save every is {self.save_every}, but no folder is named; give --save DIR")
        if self.autocast and self.dtype != "float32":
            raise SettingsError(f"dtype is {self.dtype} with autocast; with autocast it must be float32")
        if not 0 <= self.test_share < 1:
            raise SettingsError(f"test share is {self.test_share}; it must be at least 0 and below 1")
        for name, value, known in (
            ("model", self.model, MODELS),
            ("dtype", self.dtype, DTYPES),
            ("schedule", self.schedule, SCHEDULES),
        ):
            if value not in known:
                raise SettingsError(f"{name} is {value!r}; it must be one of {', '.join(known)}")
        if not self.pipelines or len(set(self.pipelines)) < len(self.pipelines) or {*self.pipelines} - {*PIPELINES}:
            names, given = ", ".join(PIPELINES), ",".join(self.pipelines)
            raise SettingsError(f"pipelines is {given!r}; it must hold one or more of {names}, each at most once")
        self._check_rows(self.train_config(0).model.dimension)
        self.torch_device()

    def setup(self, log: Log, geometry: Geometry, backend: str) -> Setup:
        """What the pipelines are built from.

        Raises:
            SettingsError: the tracker cannot follow as it is told to, or the tables do not fit into memory.
        """
        config, dtype = self.train_config(log.dense_features), DTYPES[self.dtype]
        if not self.tables and not self.lazy:
            check_memory(log.rows, config.model.dimension, dtype.itemsize, len(self.pipelines))
        return Setup(
            config=config, rows=log.rows, device=self.torch_device(), dtype=dtype, seed=self.seed,
            batch_size=self.batch_size, batch_lookups=log.most_lookups(self.batch_size),
            hot_rows=self.budget(log, geometry.hot_capacity), schedule=self.schedule, check=self.check,
            folder=self.tables, lazy=self.lazy,
            accelerator=AcceleratorOptions(
                backend=backend, geometry=geometry, options=self.device_options(backend), follow=self.follow()
            ),
        )  # fmt: skip

    def run(self, log: Log, setup: Setup) -> dict[str, Any]:
        """What must be equal for a run to go on from a checkpoint: plain values by name."""
        options = setup.accelerator
        plain = {
            "log": log.name, "samples": log.size, "rows": log.rows.tolist(),
            **{name: getattr(self, name) for name in ("model", "optimizer", "rate", "eps", "dtype", "autocast", "seed",
               "schedule", "learn_share", "test_share", "batch_size")},
            "dimension": setup.config.model.dimension, "hot_rows": setup.hot_rows,
        }  # fmt: skip
        if options:
            geometry = options.geometry.as_dict()
            preset = geometry.pop("name")
            plain |= geometry | {"preset": preset} | asdict(options.follow)
        return plain

    def train_config(self, dense_features: int) -> TrainConfig:
        """The model and its optimizer, for a log with so many dense features."""
        model = MODELS[self.model]
        try:
            if self.dimension is not None:
                model = replace(model, dimension=self.dimension)
            return TrainConfig(model, dense_features, self.optimizer, self.rate, self.eps, self.autocast)
        except ValueError as error:
            raise SettingsError(str(error)) from None

    def _check_rows(self, dimension: int) -> None:
        """Raises SettingsError unless the accelerator can gather rows so wide."""
        each = DTYPES[self.dtype].itemsize
        if dimension * each % GRANULE_BYTES or dimension * each > MAX_ROW_BYTES:
            raise SettingsError(
                f"dimension is {dimension}, which makes rows of {dimension * each} bytes in {self.dtype}; the "
                f"accelerator gathers rows of whole {GRANULE_BYTES} bytes, {MAX_ROW_BYTES} at most: choose a multiple "
                f"of {GRANULE_BYTES // each} up to {MAX_ROW_BYTES // each}"
            )

    def torch_device(self) -> torch.device:
        return torch_device(self.device)


def torch_device(name: str) -> torch.device:
    """The device of a name.

    Raises:
        SettingsError: torch knows no such device, or sees none here.
    """
    try:
        device = torch.device(name)
    except RuntimeError:
        raise SettingsError(f"device is {name!r}; it must be cpu, cuda or cuda:NUMBER") from None
    if device.type not in ("cpu", "cuda") or (device.type == "cpu" and device.index is not None):
        raise SettingsError(f"device is {name!r}; it must be cpu, cuda or cuda:NUMBER")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        there = f"{torch.cuda.device_count()} CUDA devices here" if torch.cuda.is_available() else "no CUDA here"
        raise SettingsError(f"device {name} is not available: torch sees {there}; train on cpu")
    return device
