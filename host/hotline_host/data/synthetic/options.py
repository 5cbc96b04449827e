"""What may follow `synthetic:`: a name, then options, separated by commas.

    kaggle,shift=100000,shift_share=0.3

shift=N         popularity shifts at samples N, 2N, 3N and so on. In each table of more than 10,000 rows, a random share
                of the ranks, hot or not, get other rows, which replace the old ones. How often a rank is drawn, and
                with which others, does not change. Very rarely, another rank already has the new row.
shift_share=X   that share, above 0 and at most 1; the default is 0.5. Only with shift.
independent=1   each column is drawn from separate samples: rows occur as often, but not together. Labels still depend
                on rows. This shows, for contrast, what a generator without correlations gives.
rare=N          in a `ClickLog`, the values of a table that occur fewer than N times in the log share one row. This
                needs the whole log, so a stream's raw rows stay apart, and a shorter log is not the beginning of a
                longer one.
vocabulary=X    in a `ClickLog`, a table of more than 10,000 rows has the share X of its full vocabulary, above 0 and at
                most 1, but 10,000 rows at least: raw rows modulo that number. Without it, the rows that occur are
                numbered from 0 as they first appear, and only they exist. Not with rare.
rows=N          every table has its full vocabulary, N rows at most: raw rows modulo N. rows=FULL is rows=40000000, the
                limit of MLPerf: terabyte has 204 M rows then. No row is numbered, so such a log is drawn while it is
                used, and takes no memory, however long it is. Not with rare or vocabulary.

taobao takes `independent`, `rare`, `vocabulary` and `rows` only: its popularity drifts in any case.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hotline_host.data.log import MLPERF_ROWS, DataError

from .shapes import SHAPES

__all__ = ["Options", "parse"]


@dataclass(frozen=True)
class Options:
    """As described above. `shift` 0 never shifts; `rare` 0 or 1 merges nothing; `vocabulary` 0 and `rows` 0 number the
    rows."""

    shift: int = 0
    shift_share: float = 0.5
    independent: bool = False
    rare: int = 0
    vocabulary: float = 0.0
    rows: int = 0


def parse(spec: str) -> tuple[str, Options]:
    """The name, one of `SHAPES`, and the options.

    Raises:
        DataError: an unknown name or option, an option given twice or without meaning here, an invalid value.
    """
    name, *parts = spec.split(",")
    if name not in SHAPES:
        known = ", ".join(f"synthetic:{known}" for known in SHAPES)
        raise DataError(f"there is no generated log synthetic:{name}; there are {known}")
    values: dict[str, Any] = {}
    allowed = ["independent", "rare", "vocabulary", "rows"]
    allowed = allowed if name == "taobao" else ["shift", "shift_share", *allowed]
    for part in parts:
        option, equals, text = part.partition("=")
        if option not in allowed or not equals:
            raise DataError(
                f"synthetic:{spec}: there is no option {part!r}; synthetic:{name} takes "
                + ", ".join(f"{known}=VALUE" for known in allowed)
            )
        if option in values:
            raise DataError(f"synthetic:{spec}: {option} is given twice; give it once")
        values[option] = _value(spec, option, text)
    if "shift_share" in values and "shift" not in values:
        raise DataError(f"synthetic:{spec}: shift_share without shift; add shift=SAMPLES")
    ways = [option for option in ("rare", "vocabulary", "rows") if option in values]
    if len(ways) > 1:
        raise DataError(f"synthetic:{spec}: {' and '.join(ways[:2])} number the rows in two ways; give one of them")
    return name, Options(**values)


def _value(spec: str, option: str, text: str) -> bool | int | float:
    match option:
        case "independent":
            if text in ("0", "1"):
                return text == "1"
            right = "0 or 1"
        case "shift_share" | "vocabulary":
            try:
                value = float(text)
            except ValueError:
                value = 0.0
            if 0 < value <= 1:
                return value
            right = "a share above 0, at most 1"
        case "rows" if text == "FULL":
            return MLPERF_ROWS
        case _:
            if text.isascii() and text.isdecimal() and 1 <= int(text) < 1 << 40:
                return int(text)
            right = "a whole number, 1 or more" + (", or FULL" if option == "rows" else "")
    raise DataError(f"synthetic:{spec}: {option}={text}; {option} is {right}")
