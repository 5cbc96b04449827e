"""Test benches of the core, on cocotb and cocotbext-axi: library, cocotb tests, and how pytest runs them.

    packets      a mini-batch laid out over the beats of s_axis_lookup, odd layouts included
    tb           `TB`: the DUT with clock, reset, streams, registers and commands
    scoreboard   what the golden model says the core must answer, and the comparison
    protocol     AXI handshake rules on the core's outputs
    coverage     named coverpoints
    tests_*      cocotb tests
    runner       builds a simulator and runs one cocotb test in it: what tests/cocotb calls

Two variables of the environment act on every bench: SEED=n chooses the stimulus, and WAVES=1 records waves (the
first run of a geometry with waves builds a simulator of its own). A failure prints the command that replays it.
"""
