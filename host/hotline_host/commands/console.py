"""How commands talk to the user: results on standard output, errors as one line on standard error.

Exit codes: 2 for an expected error, 128 and the signal's number (Ctrl-C: 130).
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import typer
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from hotline_host.data.sources import source_file
from hotline_host.errors import EXPECTED
from hotline_host.files import check_outputs, is_standard_output, json_text, write_json
from hotline_host.launched import launched_rank

from .progress import TerminalProgress
from .signals import Ended, exit_code, received
from .streams import fail_output, say

__all__ = ["check_files", "plain_errors", "show", "write_results"]

_EXTRAS = {"torch": "train", "amaranth": "hw", "pyosys": "hw", "cocotb": "sim", "cocotb_tools": "sim"}


@contextmanager
def plain_errors() -> Iterator[TerminalProgress]:
    """Ends the command with one line on standard error if something expected goes wrong."""
    with TerminalProgress() as progress:
        try:
            yield progress
        except BaseException as error:
            progress.close()
            # An exception of another kind is what a library made of the signal's.
            if received() or isinstance(error, KeyboardInterrupt | Ended):
                warnings.simplefilter("ignore")  # Amaranth's, of hardware that is left unfinished
                _fail(f"{received() or 'interrupted'} while {progress.state}; no result was written", exit_code())
            message = _message(error)
            if message is None:
                raise
            _fail(message)


def check_files(data: str | None, **outputs: Path | None) -> None:
    """Checks a command's output files before its work begins.

    Args:
        data: the log, which may be a file that must not be written.
        outputs: by the option that names them.

    Raises:
        OSError: one cannot be written, or two of all these files are one.
    """
    source = source_file(data) if data else None
    check_outputs({f"--{option}": output for option, output in outputs.items()}, {"--data": source})


def write_results(
    figures: dict[str, Any], json: Path | None, *others: tuple[Path | None, Callable[[Path], None]]
) -> None:
    """Writes a command's figures to `json`, and its other files, each by its own function. None is left out.

    A file that cannot be written (a full disk) does not stop the others. If the figures are in no file then, they go to
    standard output.

    Raises:
        OSError: of the first file that could not be written.
    """
    writers = [*others, (json, lambda path: write_json(path, figures))]
    failed: dict[Path, OSError] = {}
    for path, write in writers:
        if path is None:
            continue
        try:
            write(path)
        except OSError as error:
            failed.setdefault(path, error)
    if not failed:
        return
    first = next(iter(failed.values()))
    reason = first.strerror
    if json is None or json in failed:
        show(json_text(figures).rstrip("\n"))
        reason = f"{reason}; the figures are on standard output"
    raise OSError(first.errno, reason, first.filename)


def show(*parts: str | Table, json: Path | None = None) -> None:
    """Prints lines and tables on standard output, on standard error if the figures went to standard output (`json`).

    Brackets and colons are no markup: names of files may contain them.
    """
    file = sys.stderr if is_standard_output(json) else sys.stdout
    console = Console(file=file, markup=False, emoji=False, highlight=False)
    try:
        for part in parts:
            if isinstance(part, str):
                print(part, file=file)
            else:
                # Where the terminal is too narrow, Rich would leave out figures and cut words short.
                for column in part.columns:
                    column.overflow = "fold"
                unlimited = console.options.update(max_width=10_000)
                console.width = max(console.width, Measurement.get(console, unlimited, part).minimum)
                console.print(part)
        file.flush()
    except OSError as error:
        raise typer.Exit(fail_output(error)) from None


def _message(error: BaseException) -> str | None:
    """What to say of an expected error; None: it is none."""
    if isinstance(error, EXPECTED):
        return str(error)
    if isinstance(error, OSError):
        return f"{error.filename}: {error.strerror}" if error.filename else str(error)
    if isinstance(error, ModuleNotFoundError):
        name = (error.name or "").partition(".")[0]
        if name in _EXTRAS:
            return f"this needs the Python package {name}. Install it: pip install 'hotline[{_EXTRAS[name]}]'"
    return None


def _fail(message: str, code: int = 2) -> NoReturn:
    rank = launched_rank()
    say(message if rank is None else f"rank {rank}: {message}")
    raise typer.Exit(code) from None
