"""The rivals by name, and which of them cannot take part."""

from __future__ import annotations

from dataclasses import replace

from hotline_host.errors import SettingsError
from hotline_host.pipelines.pipeline import Pipeline, Setup
from hotline_host.pipelines.registry import RIVALS
from hotline_host.splitters.replayed import recording_of

from .results import BOUND, Case

__all__ = ["RIVALS", "chosen", "open_rival"]


def chosen(names: tuple[str, ...]) -> tuple[str, ...]:
    """The names, or all if there are none.

    Raises:
        SettingsError: one is unknown or given twice.
    """
    if len(set(names)) < len(names) or {*names} - {*RIVALS}:
        raise SettingsError(
            f"rivals is {','.join(names)!r}; it must hold some of {', '.join(RIVALS)}, each at most once"
        )
    return names or tuple(RIVALS)


def open_rival(name: str, setup: Setup, case: Case) -> Pipeline:
    """A new pipeline. One that drives an accelerator chooses no more rows than that can track; a recording says itself.

    Raises:
        SettingsError: all rows do not fit into the device memory that a rival may fill.
    """
    row_bytes = setup.dtype.itemsize * (setup.config.model.dimension + 1)
    needed = int(setup.rows.sum()) * row_bytes
    if name == BOUND and needed > case.hbm_limit_bytes:
        raise SettingsError(f"its {needed:,} bytes of rows do not fit into {case.hbm_limit_bytes:,} of device memory")
    accelerator = setup.accelerator
    if RIVALS[name].accelerated and accelerator is not None and not recording_of(accelerator.backend):
        setup = replace(setup, hot_rows=min(setup.hot_rows, accelerator.geometry.hot_capacity))
    return RIVALS[name](setup)
