"""What the device and the simulator's process share: messages on a socket, and a flag beside it.

A message is a JSON object, one packet of a `SOCK_SEQPACKET` socket: a signal handler that raises loses a whole message
or nothing. (On a stream of bytes it could lose part of one, and what follows would be read as its rest.)

Requests (device to simulator) have an `op`:

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

__all__ = ["FLAG_NAME", "SETTINGS_VARIABLE", "SOCKET_NAME", "SOCKET_VARIABLE", "Link", "map_flag", "new_socket"]

SOCKET_VARIABLE = "HOTLINE_COCOTB_SOCKET"
SETTINGS_VARIABLE = "HOTLINE_COCOTB_SETTINGS"  # JSON: quiet_limit, and what the accelerator's memory is
SOCKET_NAME = "socket"
FLAG_NAME = "flag"  # beside the socket

_MOST_BYTES = 1 << 20  # of a message; the system's limit is lower


def new_socket() -> socket.socket:
    """A socket of the kind that a `Link` needs, to listen on or to connect."""
    return socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)


class Link:
    """One end of the connection."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection

    def send(self, message: dict[str, Any]) -> None:
        self._connection.send(json.dumps(message).encode())

    def receive(self) -> dict[str, Any] | None:
        """The next message; None if the other side has gone."""
        try:
            body = self._connection.recv(_MOST_BYTES)
        except ConnectionError:
            return None
        return json.loads(body) if body else None

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


def map_flag(folder: Path, *, create: bool = False) -> mmap.mmap:
    """A byte of shared memory, 0 at first. It is not 0 while another thread waits for the device."""
    with (folder / FLAG_NAME).open("w+b" if create else "r+b") as file:
        if create:
            file.write(bytes(1))
            file.flush()
        return mmap.mmap(file.fileno(), 1)
