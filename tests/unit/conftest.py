"""Fixtures that tests of the model backend share."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from hotline_host.driver.driver import Driver
from hotline_hw.spec.params import PRESETS
from hotline_sim.bench.stimulus import random_batches
from hotline_sim.model.core_backend import ModelCore
from hotline_sim.model.device import ModelDevice
from tests.support.registers import Registers


@pytest.fixture(params=[False, True], ids=["fast", "reference"])
def device(request) -> Iterator[ModelCore]:
    """A tiny accelerator, on either model."""
    with ModelCore(PRESETS["tiny"], reference=request.param) as device:
        yield device


@pytest.fixture
def csr(device) -> Registers:
    """The registers of `device`."""
    return Registers(device)


@pytest.fixture
def batches() -> list[np.ndarray]:
    """Mini-batches for a tiny accelerator, free of errors."""
    return random_batches(np.random.default_rng(5), PRESETS["tiny"], 6)


@pytest.fixture
def driver() -> Iterator[Driver]:
    """The driver of a tiny accelerator."""
    with ModelDevice(PRESETS["tiny"]) as device:
        yield Driver(device)


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
