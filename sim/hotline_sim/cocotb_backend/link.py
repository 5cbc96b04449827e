"""What the device and the simulator's process share: framed messages on a socket, and a flag beside it.

A message is its length (4 bytes, little-endian), then a JSON object. Requests (device to simulator) have an `op`:

    read      offset                 -> value
    write     offset, value
    reset
    run       seconds                -> irq; ends earlier if irq is high, or the flag is set
    memory    call, arguments        -> result of a call of the memory model

Any request may have `regions`, those that are new in memory: name, address, size, path. Every request has a `number`,
which its reply repeats: Ctrl-C may end a call of the device at any point, and the reply to it comes later, or never.
Every reply has `cycles` and `core_cycles`, the clock cycles so far; `error`, which is null, `slverr` or `timeout`; and
`violation`, the AXI rule that was broken first, or null. An end of file instead of a message ends the other side.
"""

from __future__ import annotations

import json
import mmap
import select
import socket
from pathlib import Path
from typing import Any

__all__ = ["FLAG_NAME", "SETTINGS_VARIABLE", "SOCKET_NAME", "SOCKET_VARIABLE", "Link", "map_flag"]

SOCKET_VARIABLE = "HOTLINE_COCOTB_SOCKET"
SETTINGS_VARIABLE = "HOTLINE_COCOTB_SETTINGS"  # JSON: quiet_limit, and what the accelerator's memory is
SOCKET_NAME = "socket"
FLAG_NAME = "flag"  # beside the socket

_LENGTH_BYTES = 4


class Link:
    """One end of the connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._received = bytearray()  # part of the next message; kept if a signal handler raises

    def send(self, message: dict[str, Any]) -> None:
        body = json.dumps(message).encode()
        self._connection.sendall(len(body).to_bytes(_LENGTH_BYTES, "little") + body)

    def receive(self) -> dict[str, Any] | None:
        """The next message; None if the other side has gone."""
        if not self._read(_LENGTH_BYTES):
            return None
        end = _LENGTH_BYTES + int.from_bytes(self._received[:_LENGTH_BYTES], "little")
        if not self._read(end):
            return None
        body = bytes(self._received[_LENGTH_BYTES:end])
        del self._received[:end]
        return json.loads(body)

    def gone(self) -> bool:
        """Whether the other side has closed the connection, all that it sent having been received."""
        if not select.select([self._connection], [], [], 0)[0]:
            return False
        try:
            return not self._connection.recv(1, socket.MSG_PEEK)
        except ConnectionError:
            return True

    def close(self) -> None:
        self._connection.close()

    def _read(self, count: int) -> bool:
        """Receives until so many bytes of a message are there. Returns whether they are."""
        while len(self._received) < count:
            try:
                part = self._connection.recv(count - len(self._received))
            except ConnectionError:
                return False
            if not part:
                return False
            self._received += part
        return True


def map_flag(folder: Path, *, create: bool = False) -> mmap.mmap:
    """A byte of shared memory, 0 at first. It is not 0 while another thread waits for the device."""
    with (folder / FLAG_NAME).open("w+b" if create else "r+b") as file:
        if create:
            file.write(bytes(1))
            file.flush()
        return mmap.mmap(file.fileno(), 1)
