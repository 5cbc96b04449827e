"""The memory model on the m_axi_* ports of a DUT in a cocotb simulation. Imports nothing of cocotb."""

from __future__ import annotations

import ctypes
from typing import Any

from .library import Address
from .model import MemoryModel

__all__ = ["CocotbMemory"]

_ADDRESS = ("addr", "id", "len", "size", "burst", "lock", "cache", "prot", "qos")
_DRIVEN = ("arready", "awready", "wready", "rvalid", "bvalid")


class CocotbMemory:
    """Steps a memory model with a DUT's clock.

    Call `step` at each rising edge. It reads values from before the edge; what it writes takes effect after the edge.

        while True:
            await RisingEdge(dut.clk)
            memory.step()

    Args:
        dut: the simulator's handle of the module. Its `bus_rst` resets the memory.
        model: the memory, of the same bus width as the DUT.
        prefix: of the DUT's ports.
    """

    def __init__(self, dut: Any, model: MemoryModel, prefix: str = "m_axi") -> None:
        self.model = model
        self._bytes = model.axi_bits // 8
        self._reset = dut.bus_rst
        self._address = {c: {name: getattr(dut, f"{prefix}_{c}{name}") for name in _ADDRESS} for c in ("ar", "aw")}
        ports = ("arvalid", "awvalid", "wvalid", "wdata", "wstrb", "wlast", "rready", "bready", *_DRIVEN, "rid",
                 "rdata", "rresp", "rlast", "bid", "bresp")  # fmt: skip
        self._ports = {name: getattr(dut, f"{prefix}_{name}") for name in ports}
        self._driven = dict.fromkeys(_DRIVEN, -1)
        self._prefix = prefix
        self.drive()

    def step(self) -> bool:
        """Call at a rising edge of the clock. Returns whether there was a transfer.

        Raises:
            AssertionError: a pin that matters is undefined, or the DUT broke a rule.
        """
        model = self.model
        if self._reset.value == 1:
            model.reset()
            self.drive()
            return False
        self.collect()
        moved = model.sample()
        assert not model.violations, model.message
        model.offer()
        self.drive()
        return moved

    def collect(self) -> None:
        """Copies the DUT's pins to the model. For callers that step the model themselves, as is `drive`."""
        pins = self.model.pins
        for channel, address in ((name, getattr(pins, name)) for name in self._address):
            self._collect_address(channel, address)
        pins.wvalid = self._bit("wvalid")
        if pins.wvalid:
            pins.wlast, pins.wstrb = self._bit("wlast"), self._number("wstrb", self._ports["wstrb"])
            ctypes.memmove(pins.wdata, self._data(pins.wstrb), self._bytes)
        pins.rready, pins.bready = self._bit("rready"), self._bit("bready")

    def _collect_address(self, channel: str, address: Address) -> None:
        address.valid = self._bit(f"{channel}valid")
        if address.valid:
            for name, port in self._address[channel].items():
                setattr(address, name, self._number(f"{channel}{name}", port))

    def _bit(self, name: str) -> int:
        return self._number(name, self._ports[name])

    def _number(self, name: str, port: Any) -> int:
        try:
            return int(port.value)
        except ValueError:
            raise AssertionError(f"{self._prefix}_{name} is {port.value!s}") from None

    def _data(self, strobes: int) -> bytes:
        """The bytes of a W beat. Bytes without a strobe may be undefined."""
        value = self._ports["wdata"].value
        try:
            return int(value).to_bytes(self._bytes, "little")
        except ValueError:
            bits = str(value)
        lanes = [bits[8 * lane : 8 * lane + 8] for lane in reversed(range(self._bytes))]
        undefined = [lane for lane, byte in enumerate(lanes) if strobes >> lane & 1 and byte.strip("01")]
        assert not undefined, f"{self._prefix}_wdata: bytes {undefined} have a strobe and undefined bits, {bits}"
        return bytes(0 if byte.strip("01") else int(byte, 2) for byte in lanes)

    def drive(self) -> None:
        """Copies the model's pins to the DUT."""
        pins = self.model.pins
        for name, last in self._driven.items():
            value = getattr(pins, name)
            if value != last:
                self._ports[name].value = value
                self._driven[name] = value
        if pins.rvalid:
            for name in ("rid", "rresp", "rlast"):
                self._ports[name].value = getattr(pins, name)
            self._ports["rdata"].value = int.from_bytes(bytes(pins.rdata)[: self._bytes], "little")
        if pins.bvalid:
            self._ports["bid"].value, self._ports["bresp"].value = pins.bid, pins.bresp
