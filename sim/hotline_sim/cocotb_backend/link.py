"""What the device and the simulator's process share: framed messages on a socket, and arrays in a file.

A message is a JSON object after its length, 4 bytes, little-endian. Requests (device to simulator) have an `op`:

    read      offset                 -> value
    write     offset, value
    stream    words, batches         arrays: words, ends, popular, popular_ends, nonpopular, nonpopular_ends
    receive   entries                arrays: entries, ends; ends[0] is the number received
    send      entries                arrays: entries, ends
    wait_irq
    reset

Every reply has `cycles`, the clock cycles so far, and `error`: none, or `slverr`, `timeout` or `overflow` with `moved`,
whether any beat had moved. An end of file in place of a message ends the other side.
"""

from __future__ import annotations

import json
import mmap
import select
import socket
from pathlib import Path
from typing import Any

import numpy as np

__all__ = ["ARRAYS_NAME", "LIMIT_VARIABLE", "SOCKET_NAME", "SOCKET_VARIABLE", "Link", "map_arrays"]

SOCKET_VARIABLE = "HOTLINE_COCOTB_SOCKET"
LIMIT_VARIABLE = "HOTLINE_COCOTB_QUIET_LIMIT"
SOCKET_NAME = "socket"
ARRAYS_NAME = "arrays"  # beside the socket

_LENGTH_BYTES = 4


class Link:
    """One end of the connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, message: dict[str, Any]) -> None:
        body = json.dumps(message).encode()
        self._connection.sendall(len(body).to_bytes(_LENGTH_BYTES, "little") + body)

    def receive(self) -> dict[str, Any] | None:
        """The next message, None where the other side has gone."""
        length = self._read(_LENGTH_BYTES)
        body = self._read(int.from_bytes(length, "little")) if length else None
        return json.loads(body) if body else None

    def readable(self) -> bool:
        """Whether `receive` would not wait. Between a request and its reply: the device has gone."""
        return bool(select.select([self._connection], [], [], 0)[0])

    def close(self) -> None:
        self._connection.close()

    def _read(self, count: int) -> bytes | None:
        data = bytearray()
        while len(data) < count:
            try:
                part = self._connection.recv(count - len(data))
            except ConnectionError:
                return None
            if not part:
                return None
            data += part
        return bytes(data)


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
