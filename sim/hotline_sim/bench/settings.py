"""Settings that pytest passes to the cocotb tests, through the simulator's environment."""

from __future__ import annotations

import json
import os

from hotline_hw.spec.params import Geometry

__all__ = ["SEED_VARIABLE", "bench_geometry", "bench_seed", "chosen_seed", "simulator_settings"]

SEED_VARIABLE = "SEED"

_GEOMETRY_VARIABLE = "HOTLINE_BENCH_GEOMETRY"
_DEFAULT_SEED = 1


def chosen_seed() -> int:
    """The user's seed, or the default."""
    return int(os.environ.get(SEED_VARIABLE, _DEFAULT_SEED))


def simulator_settings(geometry: Geometry, seed: int) -> dict[str, str]:
    """Variables for the simulator's environment."""
    return {_GEOMETRY_VARIABLE: json.dumps(geometry.as_dict()), SEED_VARIABLE: str(seed)}


def bench_geometry() -> Geometry:
    """In the simulator: the DUT's geometry."""
    return Geometry(**json.loads(os.environ[_GEOMETRY_VARIABLE]))


def bench_seed() -> int:
    """In the simulator: the seed of the stimulus."""
    return int(os.environ[SEED_VARIABLE])
