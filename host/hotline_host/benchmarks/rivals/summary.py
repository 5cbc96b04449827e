"""The results of a benchmark of training, as tables for the terminal."""

from __future__ import annotations

from rich.table import Table

from .results import BOUND, REFERENCE, Case, Ratio, RivalFigures, RivalResult

__all__ = ["path_table", "rival_tables"]


def rival_tables(result: RivalResult) -> list[Table]:
    """One table a case. Rivals that did not run are in it, with the reason."""
    return [_case(result, case, first=case is result.cases[0]) for case in result.cases]


def _case(result: RivalResult, case: Case, *, first: bool) -> Table:
    title = (
        f"Mini-batches of {case.batch_size:,}, {case.threads} host threads; {case.hot_rows:,} hot rows where a rival "
        f"chooses some ({case.hbm_budget_bytes / 1e6:,.1f} MB, {case.hbm}); median of {result.rounds} rounds of "
        f"{result.steps} steps (least to most)"
    )
    columns = (
        "rival", "ms a step", "samples/s", f"x {REFERENCE}", f"x {BOUND}", "MB in", "MB out", "MB on\ndevice",
        "host\nCPU, ms", "GPU\nbusy", "AUC", "loss\ndiffers",
    )  # fmt: skip
    table = _table(f"{_headline(result)}\n{title}" if first else title, *columns)
    for name, figures in case.rivals.items():
        table.add_row(name, *_row(case, name, figures))
    for name, reason in case.skipped.items():
        table.caption = "\n".join(filter(None, (str(table.caption or ""), f"{name}: {reason}")))
    table.caption_justify = "left"
    return _fitted(table)


def _headline(result: RivalResult) -> str:
    machine = result.machine["machine"]
    gpu = result.machine["gpu"]
    less = (
        f" (asked: {result.rows_share_asked:g}; memory has no room for more)"
        if result.rows_share < result.rows_share_asked
        else ""
    )
    return (
        f"{result.config}: {result.rows:,} rows, D {result.dimension}, {result.rows_share:g} of the vocabulary{less}, "
        f"{result.table_bytes / 1e9:,.2f} GB; {result.dtype} on {gpu['name'] if gpu else result.device}, "
        f"{machine['cores']} cores of {machine['processor']}, load average {machine['load_average'][0]:.1f}.\n"
        f"For the accelerator: {result.accelerator}"
        + ("; its time is in that of the host." if result.accelerator == "model" else ".")
    )


def _row(case: Case, name: str, figures: RivalFigures) -> list[str]:
    least, most = min(figures.round_seconds), max(figures.round_seconds)
    cpu = sorted(figures.round_cpu_seconds)[len(figures.round_cpu_seconds) // 2]
    return [
        f"{1e3 * figures.seconds_per_step:.2f} ({1e3 * least:.2f}-{1e3 * most:.2f})",
        f"{figures.samples_per_second:,.0f}",
        *(_ratio(case.ratio(name, other)) for other in (REFERENCE, BOUND)),
        f"{figures.link_bytes_in / 1e6:.2f}",
        f"{figures.link_bytes_out / 1e6:.2f}",
        f"{figures.hbm_bytes / 1e6:,.1f}",
        f"{1e3 * cpu:.2f}",
        "" if figures.gpu_busy is None else f"{figures.gpu_busy:.0%}",
        "" if figures.auc is None else f"{figures.auc:.4f}",
        "" if figures.max_loss_difference is None else f"{figures.max_loss_difference:.1e}",
    ]


def _ratio(ratio: Ratio | None) -> str:
    return f"{ratio.median:.2f} ({ratio.least:.2f}-{ratio.most:.2f})" if ratio else ""


def path_table(case: Case) -> Table:
    """Where the main thread's time of a step goes: milliseconds by rival, as `figures().seconds` names the parts."""
    parts = list(dict.fromkeys(part for figures in case.rivals.values() for part in figures.path))
    table = _table(
        f"Host, mini-batches of {case.batch_size:,}: ms a step. The parts of the main thread are on the critical path; "
        "what runs beside it is not.", "rival", "step", *parts,
    )  # fmt: skip
    for name, figures in case.rivals.items():
        shown = (f"{1e3 * figures.path[part]:.3f}" if part in figures.path else "" for part in parts)
        table.add_row(name, f"{1e3 * figures.seconds_per_step:.3f}", *shown)
    return _fitted(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="", caption_style="", box=None, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left")
    return table


def _fitted(table: Table) -> Table:
    """With columns that are wide enough for their figures: a number that is cut in two is hard to read."""
    for column in table.columns:
        lines = [line for text in (column.header, *column.cells) for line in str(text).split("\n")]
        column.width = max(map(len, lines))
    return table
