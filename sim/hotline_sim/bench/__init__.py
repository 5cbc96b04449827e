"""Test benches of the core and of the whole device, on cocotb and cocotbext-axi: library, cocotb tests, and how pytest
runs them.

    runner       builds a simulator and runs cocotb tests in it: what tests/cocotb calls
    settings     what pytest tells the cocotb tests
    stimulus     seeded random lookup streams
    rows         random contents of a tracker

    core/        packets      a mini-batch laid out over the beats of s_axis_lookup, odd layouts included
                 ports        `CorePorts`: the DUT with clock, reset, streams and registers
                 tb           `TB`, on top: mini-batches and commands, compared with the scoreboard
                 scoreboard   what the golden model says the core must answer, and the comparison
                 protocol     AXI handshake rules on the core's outputs
                 coverage     named coverpoints; coverage_sample_aware: those of the sample-aware tracker
                 tests_*      cocotb tests

    device/      registers    `DeviceRegisters`: the device, its memory and registers, beside the golden model
                 tb           `DeviceTB`, on top: descriptors, and the comparison of all that comes of them
                 clock        both clocks, reset, and the memory model behind the AXI manager; watch: what it sees there
                 memory       the DUT's memory and the golden model's, compared byte by byte; pages that fail; timings
                 stimulus     descriptors: well-formed, malformed, at random
                 outputs      where a descriptor may write
                 coverage     named coverpoints of the device
                 tests_*      cocotb tests of it

Two variables of the environment act on every bench: SEED=n chooses the stimulus, and WAVES=1 records waves in
build/bench/<geometry>-<simulator>/, with `device-` in front for the device (the first such run builds a simulator that
can). A failure prints the command that replays it. That folder also has the log, cocotb's results and the table of
coverpoints.

A new test is an `async def test_...` in a tests_* module that is in `runner.BENCH_MODULES`, or of the device in
`runner.DEVICE_BENCH_MODULES`: pytest finds it there.
"""
