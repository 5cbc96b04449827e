"""Records an accelerator over a log: it learns popularity from the front, and what it does then is kept in a file."""

from __future__ import annotations

from pathlib import Path

from hotline_device.registry import open_device
from hotline_host.data.delimited import Progress
from hotline_host.data.log import Log
from hotline_host.data.minibatches import MiniBatches, to_check
from hotline_host.driver.driver import Driver
from hotline_host.driver.follow import learn
from hotline_host.errors import SettingsError
from hotline_host.splitters.recording import Recording, record
from hotline_hw.spec.descriptors import GRANULE_BYTES, MAX_ROW_BYTES
from hotline_hw.spec.params import Geometry
from hotline_sim.memory.timing import memory_timing

from .settings import Settings, check_lookups

__all__ = ["record_log"]

_DIMENSION = 16
"""Of a log that has no usual one: that of Criteo Kaggle."""


def record_log(
    log: Log,
    geometry: Geometry,
    backend: str,
    settings: Settings,
    out: Path,
    *,
    mini_batches: int | None = None,
    row_bytes: int | None = None,
    seed: int = 0,
    progress: Progress = lambda *_: None,
) -> Recording:
    """Learns from the first `learn_share` of the log, and records the mini-batches behind it.

    Args:
        backend: one of `hotline_device.registry.BACKENDS`.
        out: the file; written when all is done.
        mini_batches: most of them; None: all that the log has.
        row_bytes: bytes of an embedding row. None: float32 of the log's dimension, or of 16.
        seed: of the log, if it is synthetic; it is only noted.

    Raises:
        SettingsError: nothing is left to record, or a number is out of range.
        DeviceError: the backend cannot be built, or fails.
        DriverError: the log or the budget is beyond the accelerator, or its answer is wrong.
        OSError: the file cannot be written.
    """
    check_lookups(log)
    if mini_batches is not None and mini_batches < 1:
        raise SettingsError(f"mini-batches is {mini_batches}; it must be at least 1")
    row_bytes = 4 * (log.dimension or _DIMENSION) if row_bytes is None else row_bytes
    if row_bytes % GRANULE_BYTES or not 0 < row_bytes <= MAX_ROW_BYTES:
        raise SettingsError(
            f"row bytes is {row_bytes}; it must be a multiple of {GRANULE_BYTES}, up to {MAX_ROW_BYTES}"
        )
    start = settings.learned(log)
    most = log.size if mini_batches is None else start + mini_batches * settings.batch_size
    learned, rest = (
        MiniBatches(log, *part, settings.batch_size) for part in ((0, start), (start, min(most, log.size)))
    )
    if not len(rest):
        raise SettingsError(f"{log.name}: none of its {log.size} samples is left to record after learning {start}")
    options, follow = settings.device_options(backend), settings.follow()
    progress(f"opening {backend}", 0, 1)
    with open_device(backend, geometry, **options) as device:
        driver = Driver(device)
        driver.set_hot_rows(settings.budget(log, driver.geometry.hot_capacity))
        for part in (learned, rest):
            driver.check(to_check(part), by_bag=settings.by_bag)
        learn(driver, learned, follow, progress)
        return record(
            out, driver, rest, follow, preset=geometry.name, backend=backend, memory=options.get("timing"), seed=seed,
            row_bytes=row_bytes, clock_mhz=memory_timing(settings.memory).clock_mhz,
            progress=lambda done, total: progress("recording, mini-batches", done, total),
        )  # fmt: skip
