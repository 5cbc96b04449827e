"""Libraries are built wherever the cache is."""

import pytest

from hotline_device.registry import open_device
from hotline_hw.spec.params import PRESETS
from hotline_hw.spec.regmap import ID_VALUE, register
from tests.support.tools import needs


@pytest.fixture(autouse=True)
def a_cache_with_spaces_in_its_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOTLINE_CACHE", str(tmp_path / "a cache" / "of builds"))


@needs("verilator")
@pytest.mark.slow
def test_spaces_in_the_path_of_the_cache():
    with open_device("verilated", PRESETS["tiny"]) as device:
        assert device.read(register("ID").offset) == ID_VALUE


@needs("verilator")
@pytest.mark.slow
def test_under_cocotb_too():
    pytest.importorskip("cocotb_tools")
    with open_device("cocotb:verilator", PRESETS["tiny"], timing="ideal") as device:
        assert device.read(register("ID").offset) == ID_VALUE
