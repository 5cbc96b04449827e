import cProfile
import pstats

import cocotb

from .device_memory import FAST
from .device_stimulus import Maker
from .device_tb import DeviceTB


@cocotb.test()
async def test_prof(dut):
    pr = cProfile.Profile(); pr.enable()
    tb = DeviceTB(dut, timing=FAST)
    await tb.start()
    print("setup", tb.clock.cycles)
    maker = Maker(tb)
    for _ in range(6):
        await tb.run(*maker.group())
    print("ran", tb.clock.cycles)
    await tb.finish()
    print("fin", tb.clock.cycles)
    pr.disable()
    pstats.Stats(pr).sort_stats("tottime").print_stats(30)
