"""The connection between a device and its simulator: no part of a message is ever lost alone."""

from __future__ import annotations

import socket

import pytest

from hotline_sim.cocotb_backend.link import Link


class Interrupted:
    """A connection of which calls end in Ctrl-C just after they did their work."""

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        self.interrupted = True

    def _then(self, result: object) -> object:
        if self.interrupted:
            raise KeyboardInterrupt
        return result

    def recv(self, *arguments: int) -> object:
        return self._then(self.connection.recv(*arguments))

    def send(self, body: bytes) -> object:
        return self._then(self.connection.send(body))


@pytest.fixture
def ends():
    near, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with near, far:
        yield near, far


def test_an_interruption_loses_a_whole_message_or_nothing(ends):
    near, far = Interrupted(ends[0]), Link(ends[1])
    link = Link(near)
    with pytest.raises(KeyboardInterrupt):
        link.send({"number": 1})
    assert far.receive() == {"number": 1}
    far.send({"number": 1, "value": 7})
    with pytest.raises(KeyboardInterrupt):
        link.receive()
    near.interrupted = False
    link.send({"number": 2})
    assert far.receive() == {"number": 2}
    far.send({"number": 2, "value": 8})
    assert link.receive() == {"number": 2, "value": 8}


def test_long_messages(ends):
    near, far = map(Link, ends)
    message = {"regions": [f"/dev/shm/region-{number}" for number in range(2000)]}
    near.send(message)
    assert far.receive() == message


def test_the_other_side_has_gone(ends):
    near, far = map(Link, ends)
    far.send({"number": 1})
    far.close()
    assert not near.gone()
    assert near.receive() == {"number": 1}
    assert near.gone()
    assert near.receive() is None
