"""The results of a co-simulation or a split, as a table for the terminal."""

from __future__ import annotations

from rich.table import Table

from .history import GatherFigures, SplitFigures
from .lanes import LaneFigures
from .results import CosimResult, NetworkFigures, RunFigures, SplitResult

__all__ = ["headline", "summary"]

_Rows = list[tuple[str, str | None]]


def headline(result: CosimResult | SplitResult) -> str:
    """What was run, in a line."""
    run = result.run
    return (
        f"{result.log.data}: {run.hot_rows:,} of {result.log.rows:,} rows hot, learned on {run.learned_samples:,} "
        f"samples; {run.preset} on {run.backend}, mini-batches of {run.batch_size:,}"
    )


def summary(result: CosimResult | SplitResult) -> Table:
    """The figures as a table, without those that there are none of."""
    table = Table(show_header=False, box=None, padding=(0, 2, 0, 0))
    table.add_column(style="bold")
    table.add_column()
    run, split = result.run, result.split
    rows: _Rows = [
        ("samples", f"{run.samples:,}" + (f", with {split.lookups:,} lookups" if split else "")),
        ("hot rows", f"{run.hot_rows:,} of {result.log.rows:,}"),
    ]
    rows += _split_rows(run, split, result.gather if isinstance(result, CosimResult) else None) if split else []
    if isinstance(result, CosimResult):
        rows += _training_rows(result)
        rows += _network_rows(result.network) if result.network else []
    else:
        rows += [(f"lanes busy, {kind}", _busy(figures)) for kind, figures in result.lanes.items()]
        rows.append(("accelerator at work", f"{result.seconds['accelerator']:.1f} s"))
    for name, value in rows:
        if value is not None:
            table.add_row(name, value)
    return table


def _split_rows(run: RunFigures, split: SplitFigures, gather: GatherFigures | None) -> _Rows:
    cycles, speed = split.cycles, split.lookups_per_cycle
    return [
        ("popular samples", _format(split.popular_share, ".2%")),
        ("lookups that hit", _format(split.lookup_hit_share, ".2%")),
        ("bags that hit", _format(split.bag_hit_share, ".2%")),
        ("cold rows a mini-batch", _format(split.working_rows, ",.0f")),
        ("gathered by DMA", _gathered(gather) if gather else None),
        ("beyond what can be listed", _unlisted(split.unlisted_mini_batches, gather is not None)),
        ("rows that became hot", f"{split.moved_rows:,}" if run.relearn_share else None),
        ("clock cycles", f"{cycles:,}, {speed:.2f} lookups in each" if speed else "none on this backend"),
        ("moved by DMA", _moved(run, split)),
    ]


def _training_rows(result: CosimResult) -> _Rows:
    times = [
        each.seconds["split"] + each.seconds["gather"] for each in result.pipelines.values() if "split" in each.seconds
    ]
    worked = times[0] if times else None

    def beside(values: dict[str, float | None], spec: str, unit: str = "") -> str | None:
        """The first pipeline's value, then those of the others in brackets."""
        texts = {name: f"{value:{spec}}{unit}" for name, value in values.items() if value is not None}
        others = ", ".join(f"{name}: {text}" for name, text in list(texts.items())[1:])
        return " ".join([*list(texts.values())[:1], *([f" ({others})"] if others else [])]) or None

    every = result.pipelines.items()
    return [
        ("loss", beside({name: each.loss for name, each in every}, ".5f")),
        ("largest loss difference", _differences([each.max_loss_difference for _, each in every])),
        ("largest parameter difference", _differences([each.max_parameter_difference for _, each in every])),
        ("AUC", beside({name: each.auc for name, each in every}, ".5f")),
        ("popular samples of each", beside({name: each.popular_share for name, each in every}, ".2%")),
        ("rows fetched a mini-batch", beside({name: each.fetched_rows for name, each in every}, ",.0f")),
        ("training", beside({name: each.seconds["train"] for name, each in every}, ".1f", " s")),
        ("accelerator at work", _format(worked, ".1f", " s")),
    ]


def _network_rows(network: NetworkFigures) -> _Rows:
    steps = max(1, network.steps)
    sent = ", ".join(f"{what} {count / steps / 1e3:,.1f}" for what, count in network.sent.items())
    ours = sum(count for what, count in network.sent.items() if what != "dense gradients")
    return [
        (f"network a step, {network.ranks} ranks", f"{sum(network.sent.values()) / steps / 1e3:,.1f} kB: {sent}"),
        ("... rows and gradients", f"{ours / steps / 1e3:,.1f} kB; the least is {network.least / steps / 1e3:,.1f}"),
    ]


def _differences(values: list[float | None]) -> str | None:
    return ", ".join(f"{value:.1e}" for value in values if value is not None) or None


def _moved(run: RunFigures, split: SplitFigures) -> str | None:
    if not split.dma_cycles or split.bytes_read is None or split.bytes_written is None:
        return None
    return f"{split.bytes_read / 1e6:,.1f} MB read, {split.bytes_written / 1e6:,.1f} MB written, {run.memory}"


def _busy(figures: LaneFigures) -> str:
    """Lookups per lane and cycle."""
    busy = "no clock" if figures.busy is None else f"{figures.busy:.2f}"
    return (
        f"{busy}; the busiest bank allows {figures.limit:.2f}, and without the front table "
        f"{figures.limit_without_front:.2f}"
    )


def _gathered(gather: GatherFigures) -> str:
    return (
        f"{gather.gathered_rows:,} rows; {gather.held_rows:,} were in the pool already, and "
        f"{gather.host_gathered_rows:,} came by the host"
    )


def _unlisted(count: int, trained: bool) -> str | None:
    if not count:
        return None
    return (
        f"{count:,} mini-batches, so that the host " + ("fetched" if trained else "must fetch") + " all their cold rows"
    )


def _format(value: float | None, spec: str, unit: str = "") -> str | None:
    return None if value is None else format(value, spec) + unit
