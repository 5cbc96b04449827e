"""What the device and the simulator's process share: framed messages on a socket, and files beside it.

A message is a JSON object after its length, 4 bytes, little-endian. Requests (device to simulator) have an `op`:

    read      offset                 -> value
    write     offset, value
    reset
                                     the stream core:
    stream    words, batches         arrays: words, ends, popular, popular_ends, nonpopular, nonpopular_ends
    receive   entries                arrays: entries, ends; ends[0] is the number received
    send      entries                arrays: entries, ends
    wait_irq
                                     the whole accelerator:
    run       seconds                -> irq; ends earlier if irq is high, or the flag is set
    memory    call, arguments        -> result, of a call of the memory model

Every reply has `cycles`, the clock cycles so far, and `error`: none, or `slverr`, `timeout` or `overflow`. The core's
have `moved`, whether any beat moved. The accelerator's replies have `core_cycles` and `violation`, none or
the rule that it broke first; any request to it may have `regions` that are new in memory: name, address, size, path.
An end of file in place of a message ends the other side.
"""

from __future__ import annotations

import json
import mmap
import select
import socket
from pathlib import Path
from typing import Any

import numpy as np

__all__ = [
    "ARRAYS_NAME", "FLAG_NAME", "SETTINGS_VARIABLE", "SOCKET_NAME", "SOCKET_VARIABLE", "Link", "map_arrays", "map_flag",
]  # fmt: skip

SOCKET_VARIABLE = "HOTLINE_COCOTB_SOCKET"
SETTINGS_VARIABLE = "HOTLINE_COCOTB_SETTINGS"  # JSON: quiet_limit, and what the accelerator's memory is
SOCKET_NAME = "socket"
ARRAYS_NAME, FLAG_NAME = "arrays", "flag"  # beside the socket

_LENGTH_BYTES = 4


class Link:
    """One end of the connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = bytearray()  # of the next message; kept if a signal's handler raises while it comes

    def send(self, message: dict[str, Any]) -> None:
        body = json.dumps(message).encode()
        self._connection.sendall(len(body).to_bytes(_LENGTH_BYTES, "little") + body)

    def receive(self) -> dict[str, Any] | None:
        """The next message, None where the other side has gone."""
        if not self._read(_LENGTH_BYTES):
            return None
        end = _LENGTH_BYTES + int.from_bytes(self._received[:_LENGTH_BYTES], "little")
        if not self._read(end):
            return None
        body = bytes(self._received[_LENGTH_BYTES:end])
        del self._received[:end]
        return json.loads(body)

    def readable(self) -> bool:
        """Whether `receive` would not wait. Between a request and its reply: the device has gone."""
        return bool(select.select([self._connection], [], [], 0)[0])

    def close(self) -> None:
        self._connection.close()

    def _read(self, count: int) -> bool:
        """Whether that many bytes of a message have come."""
        while len(self._received) < count:
            try:
                part = self._connection.recv(count - len(self._received))
            except ConnectionError:
                return False
            if not part:
                return False
            self._received += part
        return True


def map_arrays(folder: Path, lengths: list[int], *, create: bool = False) -> list[np.ndarray]:
    """Arrays of these lengths, at least one above 0, in shared memory: uint64 and int64 in turn.

    Args:
        folder: where ARRAYS_NAME is.
        lengths: of every array, in elements.
        create: the device makes the file as long as is needed; the simulator then finds it so.
    """
    with (folder / ARRAYS_NAME).open("a+b" if create else "r+b") as file:
        if create:
            file.truncate(8 * sum(lengths))
        memory = mmap.mmap(file.fileno(), 8 * sum(lengths))
    arrays, at = [], 0
    for index, length in enumerate(lengths):
        arrays.append(np.frombuffer(memory, np.int64 if index % 2 else np.uint64, length, 8 * at))
        at += length
    return arrays


def map_flag(folder: Path, *, create: bool = False) -> mmap.mmap:
    """A byte of shared memory, 0 at first: not 0 while someone else wants what runs."""
    with (folder / FLAG_NAME).open("w+b" if create else "r+b") as file:
        if create:
            file.write(bytes(1))
            file.flush()
        return mmap.mmap(file.fileno(), 1)
