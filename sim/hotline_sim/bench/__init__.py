"""Test benches of the core, on cocotb and cocotbext-axi: library, cocotb tests, and how pytest runs them.

    packets      a mini-batch laid out over the beats of s_axis_lookup, odd layouts included
    tb           `TB`: the DUT with clock, reset, streams, registers and commands
    scoreboard   what the golden model says the core must answer, and the comparison
    protocol     AXI handshake rules on the core's outputs
    coverage     named coverpoints; coverage_sample_aware: those of the sample-aware tracker
    rows         random contents of a tracker
    tests_*      cocotb tests
    runner       builds a simulator and runs cocotb tests in it: what tests/cocotb calls

Two variables of the environment act on every bench: SEED=n chooses the stimulus, and WAVES=1 records waves in
build/bench/<geometry>-<simulator>/ (the first such run builds a simulator that can). A failure prints the command that
replays it. That folder also has the log, cocotb's results and the table of coverpoints.

A new test is an `async def test_...` in a tests_* module that is in `runner.BENCH_MODULES`: pytest finds it there.
"""
