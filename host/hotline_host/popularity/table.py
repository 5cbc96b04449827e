"""The results of a popularity study, for the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

__all__ = ["columns", "headline", "sweep_tables", "table"]


def headline(figures: dict[str, Any]) -> str:
    """One line that says what was run."""
    return (
        f"{figures['data']}: {figures['samples']:,} samples of {figures['tables']} tables, {figures['lookups']:,} "
        f"lookups of {figures['distinct_rows']:,} rows; trackers learn from {figures['learned_samples']:,} samples and "
        f"are {'frozen' if figures['freeze'] else 'still learning'} while they are judged on the other "
        f"{figures['judged_samples']:,}"
    )


def table(figures: dict[str, Any]) -> Table:
    """Trackers by number of hot rows: samples that are popular / lookups that hit, in percent."""
    made = Table(box=None, padding=(0, 2, 0, 0), title="popular samples / lookups that hit, %", title_justify="left")
    made.add_column("hot rows", style="bold")
    for heading in columns(figures):
        made.add_column(heading, justify="right")
    _add_rows(made, figures["trackers"])
    return made


def sweep_tables(figures: dict[str, Any]) -> list[Table]:
    """A table for each parameter that was varied."""
    tables = []
    for what, variants in figures.get("sweeps", {}).items():
        made = Table(box=None, padding=(0, 2, 0, 0), title=what, title_justify="left")
        made.add_column("hot rows", style="bold")
        for heading in columns(figures):
            made.add_column(heading, justify="right")
        _add_rows(made, variants)
        tables.append(made)
    return tables


def _add_rows(made: Table, shares_of: dict[str, Any]) -> None:
    for name, shares in shares_of.items():
        cells = (
            f"{_percent(share['popular_share'])} / {_percent(share['lookup_hit_share'])}" for share in shares.values()
        )
        made.add_row(name, *cells)


def columns(figures: dict[str, Any]) -> list[str]:
    """Each number of hot rows, with its share of the distinct rows."""
    return [f"{size:,} ({100 * size / figures['distinct_rows']:.3g}%)" for size in figures["hot_rows"]]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{100 * share:.1f}"
