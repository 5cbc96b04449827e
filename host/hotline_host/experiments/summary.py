"""What came out of a co-simulation or a split, as a table for the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

__all__ = ["headline", "summary"]


def summary(figures: dict[str, Any]) -> Table:
    """The figures of a co-simulation, or of a split, as a table. What there is none of is left out."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    seconds = figures["seconds"]
    cycles, speed = figures["cycles"], figures["lookups_per_cycle"]
    rows: list[tuple[str, str | None]] = [
        ("samples", f"{figures['samples']:,}, with {figures['lookups']:,} lookups"),
        ("hot rows", f"{figures['hot_rows']:,} of {figures['rows']:,}"),
        ("popular samples", f"{figures['popular_share']:.2%}"),
        ("lookups that hit", _format(figures["lookup_hit_share"], ".2%")),
        ("bags that hit", _format(figures["bag_hit_share"], ".2%")),
        ("cold rows a mini-batch", _format(figures["working_rows"], ",.0f")),
        ("gathered by DMA", _gathered(figures)),
        ("rows that became hot", f"{figures['moved_rows']:,}" if figures["relearn_share"] else None),
        ("clock cycles", f"{cycles:,}, {speed:.2f} lookups in each" if speed else "none on this backend"),
        ("moved by DMA", _moved(figures)),
        ("loss", _beside(figures.get("loss"), figures.get("baseline_loss"), ".5f")),
        ("largest loss difference", _format(figures.get("max_loss_difference"), ".1e")),
        ("largest parameter difference", _format(figures.get("max_parameter_difference"), ".1e")),
        ("AUC", _beside(figures.get("auc"), figures.get("baseline_auc"), ".5f")),
        ("training", _beside(seconds.get("train"), seconds.get("baseline"), ".1f", " s")),
        ("accelerator at work", f"{seconds['accelerator']:.1f} s"),
    ]  # fmt: skip
    for name, value in rows:
        if value is not None:
            table.add_row(name, value)
    return table


def _moved(figures: dict[str, Any]) -> str | None:
    if not figures["dma_cycles"]:
        return None
    return (
        f"{figures['bytes_read'] / 1e6:,.1f} MB read, {figures['bytes_written'] / 1e6:,.1f} MB written, "
        f"{figures['memory']}"
    )


def _gathered(figures: dict[str, Any]) -> str | None:
    if "gathered_rows" not in figures:
        return None
    rows, early, by_host = (figures[name] for name in ("gathered_rows", "early_share", "host_gathered_rows"))
    text = f"{rows:,} rows" + ("" if early is None else f", {early:.1%} of them beside the step before")
    return text + (f"; {by_host:,} by the host, as no room was left to list them" if by_host else "")


def headline(figures: dict[str, Any]) -> str:
    """What was run, in a line."""
    return (
        f"{figures['data']}: {figures['hot_rows']:,} of {figures['rows']:,} rows hot, learned on "
        f"{figures['learned_samples']:,} samples; {figures['preset']} on {figures['backend']}, mini-batches of "
        f"{figures['batch_size']:,}"
    )


def _format(value: float | None, spec: str) -> str | None:
    return None if value is None else format(value, spec)


def _beside(hotline: float | None, ordinary: float | None, spec: str, unit: str = "") -> str | None:
    """A value beside the ordinary trainer's, where there is one."""
    if hotline is None:
        return None
    return f"{hotline:{spec}}{unit}" + ("" if ordinary is None else f"  (ordinary: {ordinary:{spec}}{unit})")
