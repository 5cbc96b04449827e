"""Paces a replay: what an accelerator did in a number of clock cycles is not there before they have passed."""

from __future__ import annotations

import math
from time import perf_counter, sleep

from hotline_host.errors import SettingsError

__all__ = ["Pace"]

_SPIN_SECONDS = 200e-6
"""A sleep may end so much too late; the rest of a wait is spent looking at the clock."""


class Pace:
    """Waits until an accelerator would have been ready, and counts how often the host was later than that.

    Args:
        clock_mhz: the accelerator's clock.

    Attributes:
        waits: calls of `wait`.
        waited_seconds: time that they took in all.
        late: calls that came when the accelerator would have been ready already.
        late_seconds: by how much in all.

    Raises:
        SettingsError: the clock is no frequency above 0.
    """

    def __init__(self, clock_mhz: float) -> None:
        if not 0 < clock_mhz < math.inf:
            raise SettingsError(f"clock is {clock_mhz} MHz; it must be a number above 0")
        self.clock_mhz = clock_mhz
        self.waits = self.late = 0
        self.waited_seconds = self.late_seconds = 0.0

    def wait(self, start_seconds: float, cycles: int) -> float:
        """Returns `cycles` after `start_seconds` (of `time.perf_counter`), or at once if that has passed.

        Returns:
            The seconds by which the call came too late; 0 if it came in time.
        """
        due = start_seconds + cycles / (self.clock_mhz * 1e6)
        came = now = perf_counter()
        self.waits += 1
        while now < due:
            sleep(max(0.0, due - now - _SPIN_SECONDS))  # 0 lets other threads run
            now = perf_counter()
        self.waited_seconds += now - came
        if came <= due:
            return 0.0
        self.late += 1
        self.late_seconds += came - due
        return came - due
