"""The program `hotline`. It imports little, so that a signal finds its handler as early as can be."""

from __future__ import annotations

import atexit
import os
import sys
from collections.abc import Callable

from .signals import Ended, exit_code, finish_starting, handle_signals, received
from .streams import BROKEN_PIPE, fail_output, finish_streams, prepare_streams, say

__all__ = ["main"]


def main() -> None:
    """Runs the command that the arguments name, and exits."""
    handle_signals()
    prepare_streams()
    # OpenMP reads this when torch loads it. Its threads spin while they wait, by default, and so take the cores from
    # the simulator that they share them with; training steps then take several times as long.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    from .main import app

    _give_matplotlib_a_folder()
    finish_starting()
    code = finish_streams(_run(app))
    if _in_a_group():
        # The command failed. A thread may still wait for another process, in a call of torch.distributed. Python's
        # shutdown would end that thread inside of C++, which can abort the process: exit code 134 in place of ours.
        atexit._run_exitfuncs()
        os._exit(code)
    sys.exit(code)


def _in_a_group() -> bool:
    """A process group was made and not destroyed."""
    distributed = sys.modules.get("torch.distributed")
    return distributed is not None and distributed.is_available() and distributed.is_initialized()


def _run(app: Callable[[], None]) -> int:
    """The exit code. Commands handle their own errors; what remains are those of printing the help."""
    try:
        app()
    except SystemExit as end:
        # 1 is Typer's and Rich's for a broken pipe; no command ends with it.
        return BROKEN_PIPE if end.code == 1 else int(end.code or 0)
    except Ended:
        say(str(received()))
        return exit_code()
    except OSError as error:
        return fail_output(error)
    return 0


def _give_matplotlib_a_folder() -> None:
    """It warns of a home that cannot be written."""
    from hotline_device.cache_folder import cache_folder

    if "MPLCONFIGDIR" not in os.environ and not os.access(os.path.expanduser("~"), os.W_OK):
        folder = cache_folder()
        if folder:
            os.environ["MPLCONFIGDIR"] = str(folder / f"matplotlib-{os.getuid()}")
