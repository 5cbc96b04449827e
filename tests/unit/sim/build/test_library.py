"""Libraries are built wherever the cache is."""

import numpy as np
import pytest

from hotline_device.device import DeviceError
from hotline_sim.build.verilator import ToolError, find_compiler, find_tool, find_verilator


@pytest.fixture(autouse=True)
def a_cache_with_spaces_in_its_path(tmp_path, monkeypatch):
    monkeypatch.setenv("HOTLINE_CACHE", str(tmp_path / "a cache" / "of builds"))


def test_spaces_in_the_path_of_the_cache():
    amaranth = pytest.importorskip("amaranth")
    pytest.importorskip("pyosys")
    try:
        find_verilator(), find_compiler(), find_tool("make")
    except ToolError as error:
        pytest.skip(str(error))
    from amaranth.lib import wiring
    from hotline_sim.verilated.block import VerilatedBlock

    class Adder(wiring.Component):
        one: wiring.In(8)
        other: wiring.In(8)
        total: wiring.Out(8)

        def elaborate(self, platform):
            m = amaranth.Module()
            m.d.comb += self.total.eq(self.one + self.other)
            return m

    run = VerilatedBlock(Adder(), "adder").run(np.array([[1, 2], [250, 9]]), 2)
    np.testing.assert_array_equal(run.outputs, [[3], [3]])


def test_cocotb_says_what_to_do():
    pytest.importorskip("cocotb_tools")
    from hotline_sim.cocotb_backend.build import _check_paths

    with pytest.raises(DeviceError, match="a cache/of builds/builds contains a space.*Set HOTLINE_CACHE to a folder"):
        _check_paths()
