"""The core's ports as the simulator's Python drives them: one step a cycle, few wide signals."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["PORT_NAMES", "Sink", "Source"]

_LITE = {
    "aw": ("addr", "prot", "valid", "ready"),
    "w": ("data", "strb", "valid", "ready"),
    "b": ("resp", "valid", "ready"),
    "ar": ("addr", "prot", "valid", "ready"),
    "r": ("data", "resp", "valid", "ready"),
}
_STREAMS = {
    "s_axis_lookup": ("tdata", "tkeep", "tlast", "tvalid", "tready"),
    "m_axis_popular": ("tdata", "tkeep", "tlast", "tvalid", "tready"),
    "m_axis_nonpopular": ("tdata", "tkeep", "tlast", "tvalid", "tready"),
    "s_axis_state": ("tdata", "tlast", "tvalid", "tready"),
    "m_axis_state": ("tdata", "tlast", "tvalid", "tready"),
}

_ADDRESS = ("id", "addr", "len", "size", "burst", "lock", "cache", "prot", "qos", "valid", "ready")
_AXI = {
    "aw": _ADDRESS,
    "w": ("data", "strb", "last", "valid", "ready"),
    "b": ("id", "resp", "valid", "ready"),
    "ar": _ADDRESS,
    "r": ("id", "data", "resp", "last", "valid", "ready"),
}
_BOTH = (
    "clk", "rst", "irq",
    *(f"s_axil_{channel}{signal}" for channel, signals in _LITE.items() for signal in signals),
)  # fmt: skip

# By top module.
PORT_NAMES: dict[str, tuple[str, ...]] = {
    "hotline_core": (
        *_BOTH, *(f"{stream}_{signal}" for stream, signals in _STREAMS.items() for signal in signals),
    ),
    "hotline_device": (
        *_BOTH, "core_clk", "core_clk_enable",
        *(f"m_axi_{channel}{signal}" for channel, signals in _AXI.items() for signal in signals),
    ),
}  # fmt: skip

_WORD_BITS, _WORD_BYTES = 64, 8


class Source:
    """Sends packets on an AXI4-Stream input; beats are full but for a packet's last."""

    def __init__(self, dut: Any, name: str) -> None:
        signals = _STREAMS[name]
        self.data, self.last = getattr(dut, f"{name}_tdata"), getattr(dut, f"{name}_tlast")
        self.valid, self.ready = getattr(dut, f"{name}_tvalid"), getattr(dut, f"{name}_tready")
        self.keep = getattr(dut, f"{name}_tkeep") if "tkeep" in signals else None
        self.lanes = len(self.data) // _WORD_BITS
        self.cancel()
        self.data.value = 0
        self.last.value = 0
        if self.keep is not None:
            self.keep.value = 0

    def start(self, words: np.ndarray, ends: np.ndarray) -> None:
        """Begins to send `words`, uint64 [n], as packets that end before `ends`, int64 [P]."""
        self._words, self._ends = words.data.cast("B"), ends.tolist()
        self._position, self._packet = 0, 0
        self._shape = (-1, False)
        self._offer()

    def cancel(self) -> None:
        self.valid.value = 0
        self.done = True

    def step(self) -> bool:
        """At a clock edge: whether the beat that was offered is taken. If so, offers the next."""
        if self.ready.value != 1:
            return False
        self._offer()
        return True

    def _offer(self) -> None:
        if self._packet == len(self._ends):
            self.cancel()
            return
        start, end = self._position, self._ends[self._packet]
        stop = min(start + self.lanes, end)
        self.data.value = int.from_bytes(self._words[_WORD_BYTES * start : _WORD_BYTES * stop], "little")
        shape = (stop - start, stop == end)  # changes seldom
        if shape != self._shape:
            if self.keep is not None:
                self.keep.value = (1 << _WORD_BYTES * shape[0]) - 1
            self.last.value = shape[1]
            self._shape = shape
        if self.done:
            self.valid.value = 1
            self.done = False
        self._position = stop
        self._packet += shape[1]


class Sink:
    """Receives packets from an AXI4-Stream output, null bytes left out."""

    def __init__(self, dut: Any, name: str) -> None:
        signals = _STREAMS[name]
        self.data, self.last = getattr(dut, f"{name}_tdata"), getattr(dut, f"{name}_tlast")
        self.valid, self.ready = getattr(dut, f"{name}_tvalid"), getattr(dut, f"{name}_tready")
        self.keep = getattr(dut, f"{name}_tkeep") if "tkeep" in signals else None
        self.lanes = len(self.data) // _WORD_BITS
        self._full = (1 << _WORD_BYTES * self.lanes) - 1
        self.cancel()

    def start(self, words: np.ndarray, ends: np.ndarray) -> None:
        """Begins to receive as many packets as `ends` has room for, into `words`."""
        self._words, self._capacity, self._ends = words.data.cast("B"), len(words), ends
        self._count, self._packet = 0, 0
        self.overflow = self.done = False
        self.ready.value = 1

    def cancel(self) -> None:
        self.ready.value = 0
        self.done, self.overflow = True, False

    def step(self) -> bool:
        """At a clock edge: whether a beat is taken."""
        if self.valid.value != 1:
            return False
        keep = self._full if self.keep is None else int(self.keep.value)
        if keep == self._full and self._count + self.lanes <= self._capacity:
            beat = int(self.data.value).to_bytes(_WORD_BYTES * self.lanes, "little")
            at = _WORD_BYTES * self._count
            self._words[at : at + len(beat)] = beat
            self._count += self.lanes
        elif keep:
            self._take_kept(keep, str(self.data.value))
        if self.last.value == 1:
            self._ends[self._packet] = self._count
            self._packet += 1
            if self._packet == len(self._ends):
                self.ready.value = 0
                self.done = True
        return True

    def _take_kept(self, keep: int, bits: str) -> None:
        """Word by word, as those that are not kept may be undefined."""
        for lane in range(self.lanes):
            if not keep >> _WORD_BYTES * lane & 1:
                continue
            if self._count == self._capacity:
                self.overflow = True
                return
            high = len(bits) - _WORD_BITS * lane
            word = int(bits[high - _WORD_BITS : high], 2)
            at = _WORD_BYTES * self._count
            self._words[at : at + _WORD_BYTES] = word.to_bytes(_WORD_BYTES, "little")
            self._count += 1
