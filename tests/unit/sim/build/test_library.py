"""Libraries are built wherever the cache is."""

import pytest

from hotline_device.device import DeviceError
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


def test_cocotb_says_what_to_do():
    pytest.importorskip("cocotb_tools")
    from hotline_sim.cocotb_backend.build import _check_paths

    with pytest.raises(DeviceError, match="a cache/of builds/builds contains a space.*Set HOTLINE_CACHE to a folder"):
        _check_paths()
