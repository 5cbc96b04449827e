"""`hotline bench`: every combination of batch size, threads and budget is a case; all rivals take part in each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import torch

from hotline_host.data.delimited import Progress
from hotline_host.data.log import ClickLog
from hotline_host.data.minibatches import MiniBatches
from hotline_host.data.sources import load
from hotline_host.data.synthetic.shapes import SHAPES
from hotline_host.driver.follow import FollowOptions
from hotline_host.errors import SettingsError
from hotline_host.experiments.cosim_settings import torch_device
from hotline_host.experiments.memory import available_bytes
from hotline_host.pipelines.pipeline import AcceleratorOptions, Setup
from hotline_host.splitters.recording import Header, read_recording
from hotline_host.training.trainer import TrainConfig
from hotline_hw.spec.params import Geometry, preset

from .configs import fitting_share
from .machine import device_bytes, machine_figures, peak_bytes
from .measure import LOOK_STEPS, WARM, Contender, Parts, measure
from .results import Case, RivalResult
from .rivals import chosen
from .settings import ALL_THREADS, RivalSettings

__all__ = ["bench_rivals"]

MEMORY_SHARE = 0.6
"""Of the memory that is free, what tables may take: mini-batches, gradients and torch need the rest."""
DEVICE_SHARE = 0.8
TRAIN_LOOKUPS = 1 << 26
"""Most lookups of the mini-batches that are trained on; after them the first follows again."""
LISTED = 0.6
"""Of the lookups of a mini-batch, the share for which the accelerator has room in its lists of unique cold rows."""
RELEARN_SHARE, SELECT_EVERY = 0.25, 8
"""How the hot rows follow popularity: as by default in `hotline record` and `hotline cosim`."""

Look = Callable[[str, Case, Contender], None]


def bench_rivals(
    settings: RivalSettings, progress: Progress = lambda *_: None,
    changed: Callable[[RivalResult], None] = lambda _: None, look: Look = lambda *_: None,
) -> RivalResult:  # fmt: skip
    """Measures all cases.

    Args:
        changed: called with all figures so far, after every round.
        look: called with every rival after its last round, to look closer at it.

    Raises:
        SettingsError: a rival is unknown, the device is not there, tables do not fit into memory, or the recording is
            of another log or too short.
        DataError: the recording is damaged.
    """
    device, rivals, config = torch_device(settings.device), chosen(settings.rivals), settings.configuration
    header = read_recording(settings.recording).header if settings.recording else None
    if header:
        settings = _as_recorded(settings, header)
    share = fitting_share(config, settings.rows, len(rivals) + 2, int(MEMORY_SHARE * available_bytes()))
    if header and share != settings.rows:
        raise SettingsError(
            f"{settings.recording} is of {settings.rows:g} of the vocabulary; memory has no room for it"
        )
    geometry = _geometry(settings)
    ends = {size: _ends(settings, size, header) for size in settings.batch_sizes}
    samples = max(each[-1] for each in ends.values())
    log = load(config.data(share), samples=samples, seed=settings.seed, progress=progress)
    table_bytes = int(log.rows.sum()) * config.row_bytes
    result = RivalResult(
        machine=machine_figures(device), config=settings.config, data=log.name, device=str(device), dtype="float32",
        dimension=config.dimension, rows=int(log.rows.sum()), rows_share=share, rows_share_asked=settings.rows,
        table_bytes=table_bytes,
        accelerator=f"replay:{settings.recording}" if settings.recording else "model",
        steps=settings.steps, rounds=settings.rounds, seed=settings.seed,
    )  # fmt: skip
    limit = int(DEVICE_SHARE * device_bytes(device) / len(rivals))
    if config.hbm_share is not None:
        limit = min(limit, int(config.hbm_share * table_bytes))

    def tell() -> None:
        result.peak_host_bytes = peak_bytes()
        changed(result)

    before = torch.get_num_threads()
    try:
        for batch_size in settings.batch_sizes:
            learned, train, test = (MiniBatches(log, *part, batch_size) for part in pairwise(ends[batch_size]))
            parts = Parts(learned, train, test, once=header is not None)
            setup = _setup(settings, log, batch_size, device, geometry, result.accelerator)
            for threads in settings.threads:
                count = before if threads == ALL_THREADS else threads
                torch.set_num_threads(count)
                for hbm in settings.hbm:
                    hot_rows = _hot_rows(settings, hbm, result, limit, geometry)
                    case = Case(batch_size, count, hbm, hot_rows, hot_rows * config.row_bytes, limit)
                    result.cases.append(case)
                    measure(
                        case, replace(setup, hot_rows=hot_rows), rivals, parts, steps=settings.steps,
                        rounds=settings.rounds, changed=tell, progress=progress,
                        last=lambda name, contender, case=case: look(name, case, contender),  # type: ignore[misc]
                    )  # fmt: skip
    finally:
        torch.set_num_threads(before)
    result.finished = True
    tell()
    return result


def _setup(
    settings: RivalSettings, log: ClickLog, batch_size: int, device: torch.device, geometry: Geometry, backend: str
) -> Setup:
    config = settings.configuration
    return Setup(
        config=TrainConfig(config.model(), log.dense_features, settings.optimizer, settings.rate, settings.eps),
        rows=log.rows, batch_size=batch_size, batch_lookups=log.most_lookups(batch_size), device=device,
        seed=settings.seed,
        accelerator=AcceleratorOptions(
            backend=backend, geometry=geometry,
            follow=FollowOptions(
                relearn_share=RELEARN_SHARE, select_every=SELECT_EVERY, by_bag=config.learn_by == "bag"
            ),
        ),
    )  # fmt: skip


def _hot_rows(settings: RivalSettings, hbm: str, result: RivalResult, limit: int, geometry: Geometry) -> int:
    """Rows that a rival may keep on the device, if it chooses some."""
    row_bytes = settings.configuration.row_bytes
    if hbm == "all":
        return min(result.rows, limit // row_bytes)
    share = int(settings.configuration.hot_share * result.rows)
    asked = min(share, geometry.hot_capacity) if settings.hot_rows is None else settings.hot_rows
    return min(asked, result.rows)


def _lookups(settings: RivalSettings) -> int:
    """Of a sample."""
    return sum(SHAPES[settings.configuration.shape].pooling)


def _train_batches(settings: RivalSettings, batch_size: int) -> int:
    """Mini-batches to train on: enough for every round, unless they take too much memory."""
    needed = settings.rounds * (settings.steps + WARM) + WARM
    return max(1, min(needed, TRAIN_LOOKUPS // (_lookups(settings) * batch_size)))


def _ends(settings: RivalSettings, size: int, header: Header | None) -> tuple[int, ...]:
    """Where the parts of the log end: nothing, what is learned from, trained on, and kept for the test."""
    learned = header.start if header else size * settings.learn
    trained = header.stop if header else learned + size * _train_batches(settings, size)
    return 0, learned, trained, trained + size * settings.test


def _as_recorded(settings: RivalSettings, header: Header) -> RivalSettings:
    """The settings, with what a recording says."""
    path, begin = settings.recording, f"synthetic:{settings.configuration.shape},vocabulary="
    needed = settings.rounds * (settings.steps + WARM) + LOOK_STEPS
    if not header.log.startswith(begin):
        raise SettingsError(f"{path} is of {header.log}; the config {settings.config} takes one of {begin}SHARE")
    if header.mini_batches < needed:
        raise SettingsError(
            f"{path} holds {header.mini_batches} mini-batches, and {settings.rounds} rounds of {settings.steps} steps "
            f"need {needed}; take fewer"
        )
    return replace(
        settings, batch_sizes=(header.batch_size,), hot_rows=header.hot_rows, seed=header.seed,
        rows=float(header.log.removeprefix(begin)),
    )  # fmt: skip


def _geometry(settings: RivalSettings) -> Geometry:
    """The preset, with room for the unique cold rows of the largest mini-batches."""
    geometry = preset(settings.preset)
    needed = int(LISTED * _lookups(settings) * max(settings.batch_sizes))
    if needed <= geometry.working_rows or settings.recording:
        return geometry
    return geometry.override({"working_rows": 1 << (needed - 1).bit_length()})
