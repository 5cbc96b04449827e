"""Commands as a user who may read everything, but may write only his own files and what everyone may write."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence

import pytest

USER = 12345  # a user that the system does not know, like the user of a container


def run_unprivileged(command: Sequence[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Runs a command as USER if this is root, else as the user of the tests. Skips the test if that is not possible."""
    prefix: list[str] = []
    if os.getuid() == 0:
        if shutil.which("setpriv") is None:
            pytest.skip("to be another user than root, the test needs setpriv (util-linux)")
        capability = "+dac_read_search"  # Python itself may be in root's home
        prefix = [
            "setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", f"--inh-caps={capability}",
            f"--ambient-caps={capability}",
        ]  # fmt: skip
        if subprocess.run([*prefix, "true"], capture_output=True).returncode:
            pytest.skip("setpriv may not change the user here")
    return subprocess.run([*prefix, *command], env=dict(env), capture_output=True, text=True, timeout=600)
