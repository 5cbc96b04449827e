"""The simulator's process of a device, on the device's side."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

from hotline_device.device import DeviceError
from hotline_sim.build.cache import log_tail
from hotline_sim.build.verilog import DEVICE_TOP

from .build import runner_command, runner_environment
from .link import SETTINGS_VARIABLE, SOCKET_NAME, SOCKET_VARIABLE, Link, new_socket

__all__ = ["Session"]

_LOG_NAME = "simulator.log"
_START_SECONDS = 120  # a licence server may take its time
_STOP_SECONDS = 3


class Session:
    """The simulator's process, the connection to it, and the temporary folder that both use.

    Args:
        simulator: the one in `build`.
        build: the folder from `build_simulator`.
        waves: file to record waves to.
        settings: for the server, passed in its environment.

    Attributes:
        folder: the temporary folder.
    """

    def __init__(self, simulator: str, build: Path, waves: Path | None, settings: dict[str, Any]) -> None:
        self.simulator = simulator
        self.folder = Path(tempfile.mkdtemp(prefix="hotline-"))
        self._number = 0  # of the latest request
        self._link: Link | None = None
        self._process: subprocess.Popen | None = None
        command = [*runner_command("run", simulator, build, DEVICE_TOP), "--run-folder", self.folder]
        self._command = command + (["--waves", waves] if waves else [])
        self._env = runner_environment(simulator) | {
            SOCKET_VARIABLE: str(self.folder / SOCKET_NAME),
            SETTINGS_VARIABLE: json.dumps(settings),
        }

    def start(self) -> dict[str, Any]:
        """Starts the process. Returns its first message.

        Raises:
            DeviceError: it ended, or did not connect in time.
        """
        with new_socket() as listener, (self.folder / _LOG_NAME).open("wb") as log:
            listener.bind(str(self.folder / SOCKET_NAME))
            listener.listen(1)
            listener.settimeout(0.2)
            # A session of its own: Ctrl-C reaches this process alone, which then stops the simulator.
            self._process = subprocess.Popen(
                self._command, cwd=self.folder, env=self._env, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip
            for _ in range(int(_START_SECONDS / 0.2)):
                with suppress(TimeoutError):
                    connection, _ = listener.accept()
                    connection.settimeout(None)
                    self._link = Link(connection)
                    return self._receive()
                if self._process.poll() is not None:
                    raise self._ended()
        raise DeviceError(f"{self.simulator} did not start in {_START_SECONDS} s. The end of its log:\n{self._tail()}")

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """The reply to a request. Late replies to interrupted requests are skipped."""
        assert self._link is not None
        self._number += 1
        try:
            self._link.send(request | {"number": self._number})
        except ConnectionError:
            raise self._ended() from None
        while (reply := self._receive())["number"] != self._number:
            pass
        return reply

    def stop(self) -> None:
        """Ends the process, by closing the connection if there is one, and removes the folder."""
        if self._link:
            self._link.close()
        if self._process:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(_STOP_SECONDS if self._link else 0)
            if self._process.returncode is None:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _receive(self) -> dict[str, Any]:
        assert self._link is not None
        reply = self._link.receive()
        if reply is None:
            raise self._ended()
        return reply

    def _ended(self) -> DeviceError:
        assert self._process is not None
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(_STOP_SECONDS)
        return DeviceError(f"{self.simulator} has ended. The end of its log:\n{self._tail()}")

    def _tail(self) -> str:
        return log_tail(self.folder / _LOG_NAME)
