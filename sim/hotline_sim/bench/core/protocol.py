"""AXI handshake rules, checked on every output of the core in every clock cycle."""

from __future__ import annotations

from collections import Counter
from typing import Any

from cocotb.triggers import RisingEdge

__all__ = ["OutputRules"]

_OUTPUTS = {
    "m_axis_popular": ("tvalid", "tready", ("tdata", "tkeep", "tlast")),
    "m_axis_nonpopular": ("tvalid", "tready", ("tdata", "tkeep", "tlast")),
    "m_axis_state": ("tvalid", "tready", ("tdata", "tlast")),
    "s_axil_b": ("valid", "ready", ("resp",)),
    "s_axil_r": ("valid", "ready", ("data", "resp")),
}


class _Channel:
    """One output with its handshake."""

    def __init__(self, dut: Any, name: str) -> None:
        valid, ready, payload = _OUTPUTS[name]
        separator = "_" if valid == "tvalid" else ""
        self.name = name
        self.valid, self.ready = (getattr(dut, f"{name}{separator}{signal}") for signal in (valid, ready))
        self.payload = {signal: getattr(dut, f"{name}{separator}{signal}") for signal in payload}
        self.waiting: dict[str, str] | None = None  # what is offered and not accepted yet

    def step(self) -> bool:
        """Call at a clock edge. Checks the rules. Returns whether the output waits for its ready."""
        valid = str(self.valid.value)
        assert valid in "01", f"{self.name}: valid is {valid}"
        if valid == "0":
            assert self.waiting is None, f"{self.name}: valid fell before ready, with {self.waiting} on offer"
            return False
        ready = self.ready.value == 1
        if ready and self.waiting is None:
            return False
        offered = {signal: str(handle.value) for signal, handle in self.payload.items()}
        if self.waiting is not None:
            assert offered == self.waiting, f"{self.name}: payload went from {self.waiting} to {offered} before ready"
        self.waiting = None if ready else offered
        return not ready


class OutputRules:
    """Checks that valid, once high, and the payload do not change until ready. Nothing is checked in reset.

    Attributes:
        output_stall: clock cycles in which a result stream was valid and not ready: the expected value of the counter.
        waits: for each output, the cycles in which it waited; if it never waited, its check has shown nothing.
    """

    def __init__(self, dut: Any) -> None:
        self.dut = dut
        self.output_stall = 0
        self.waits: Counter[str] = Counter()
        self._results = [_Channel(dut, "m_axis_popular"), _Channel(dut, "m_axis_nonpopular")]
        self._others = [_Channel(dut, name) for name in ("m_axis_state", "s_axil_b", "s_axil_r")]

    async def watch(self) -> None:
        """Runs for ever. Raises AssertionError if a rule is broken."""
        edge = RisingEdge(self.dut.clk)
        while True:
            await edge
            if self.dut.rst.value == 1:
                for channel in (*self._results, *self._others):
                    channel.waiting = None
                continue
            stalled = False
            for channel in self._results:
                if channel.step():
                    stalled = True
                    self.waits[channel.name] += 1
            self.output_stall += stalled
            for channel in self._others:
                self.waits[channel.name] += channel.step()
