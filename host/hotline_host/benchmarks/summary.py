"""What came out of a benchmark, as tables for the terminal."""

from __future__ import annotations

from typing import Any

from rich.table import Table

__all__ = ["bench_tables"]


def bench_tables(figures: dict[str, Any]) -> list[Table]:
    """Streams, what the device's cycles were, training, gathering, and the return path.

    Each title says what is compared with what.
    """
    return [
        _streams(figures), _limits(figures), _where(figures), _training(figures), _gather(figures),
        _return_path(figures),
    ]  # fmt: skip


def _streams(figures: dict[str, Any]) -> Table:
    table = _table(
        f"{figures['data']}, mini-batches of {figures['batch_size']:,}, {figures['hot_rows']:,} hot rows, "
        f"{figures['preset']}, on {figures['cores']} cores of {figures['machine']}; "
        f"load average {_load(figures, 'before')} before, {_load(figures, 'after')} after.\n"
        f"Streams: median of {figures['rounds']} rounds"
        + (f", one round of {figures['rival']}. It takes one Python step a clock cycle." if figures["rival"] else "."),
        "backend", "phase", "lookups", "lookups/s", "cold rows/s", "clock cycles/s", "verilated is",
    )  # fmt: skip
    for name, phases in figures["stream"].items():
        for phase, measured in phases.items():
            cycles = measured["cycles_per_second"]
            table.add_row(
                _describe(name), phase.upper(), f"{measured['lookups']:,}", f"{measured['lookups_per_second']:,.0f}",
                f"{measured['rows_per_second']:,.0f}" if measured["rows"] else "",
                f"{cycles:,.0f}" if cycles else "none", _ratio(figures, name, phase),
            )  # fmt: skip
    return table


def _ratio(figures: dict[str, Any], name: str, phase: str) -> str:
    if name == "verilated":
        return ""
    ratio = (
        figures["stream"]["verilated"][phase]["lookups_per_second"]
        / figures["stream"][name][phase]["lookups_per_second"]
    )
    factor, word = (ratio, "faster") if ratio >= 1 else (1 / ratio, "slower")
    return f"{factor:,.1f} x {word}"


def _limits(figures: dict[str, Any]) -> Table:
    table = _table(
        f"The core in its own clock cycles ({figures['geometry']['lanes']} lanes; the bound is 1 lookup a lane a "
        "cycle), and the share of cycles in which ...",
        "phase", "lookups/lane/cycle", "input idle", "bank full", "beat split", "output held",
    )  # fmt: skip
    for phase, measured in figures["stream"]["verilated"].items():
        shares = measured["shares"]
        table.add_row(
            phase.upper(), f"{measured['lookups_per_cycle_per_lane']:.3f}",
            *(f"{shares[name]:.1%}" for name in ("input_idle", "bank_stall", "split_beats", "output_stall")),
        )  # fmt: skip
    return table


def _where(figures: dict[str, Any]) -> Table:
    causes = {
        "useful": "dma_useful", "core": "dma_core", "reads due": "dma_read", "writes held": "dma_write",
        "overhead": "dma_overhead",
    }  # fmt: skip
    table = _table(
        f"The device in its own clock cycles, {figures['memory']} behind it, and what they were; GATHER: CLASSIFY and "
        "GATHER of every mini-batch, rows of 16 float32",
        "phase", "lookups/lane/cycle", *causes,
    )  # fmt: skip
    for phase, measured in figures["stream"]["verilated"].items():
        table.add_row(
            phase.upper(), f"{measured['lookups_per_dma_cycle_per_lane']:.3f}",
            *(f"{measured['dma_shares'][name]:.1%}" for name in causes.values()),
        )  # fmt: skip
    return table


def _gather(figures: dict[str, Any]) -> Table:
    dimensions = list(next(iter(figures["gather"].values())))
    table = _table(
        "GATHER alone, rows at random, float32: GB/s of rows; of the time with reads or writes under way, the share in "
        "which memory's link was busy, or data came over the accelerator's bus, whichever is larger",
        "memory", *(f"D = {dimension}" for dimension in dimensions),
    )  # fmt: skip
    for memory, measured in figures["gather"].items():
        table.add_row(memory, *(f"{each['gb_per_s']:.1f}, {each['utilisation']:.1%}" for each in measured.values()))
    return table


def _return_path(figures: dict[str, Any]) -> Table:
    first = next(iter(figures["return_path"].values()))
    table = _table(
        f"Row-wise Adagrad on the {first['rows']:,} cold rows of a mini-batch, microseconds: the driver, measured here "
        f"on {first['threads']} threads; the traffic of a SCATTER on {figures['memory']}, simulated, no arithmetic",
        "D", "driver", "SCATTER at the least",
    )  # fmt: skip
    for dimension, each in figures["return_path"].items():
        table.add_row(dimension, *(f"{1e6 * each[f'{way}_seconds']:,.0f}" for way in ("driver", "scatter")))
    return table


def _training(figures: dict[str, Any]) -> Table:
    training = figures["training"]
    table = _table(
        f"Training step, {figures['model']} DLRM, {figures['dtype']} on {figures['device']}, median of "
        f"{figures['rounds'] * figures['steps']}; {training['popular_share']:.1%} of samples popular. The accelerator "
        "splits the next mini-batch meanwhile, and gathers its cold rows.\nOn a CPU, hot and cold rows share one "
        "memory, so Hotline's step has nothing to gain there; the first ratio is the cost of simulating.",
        "step", "ms", "verilated takes", "accelerator beside it, ms", "between steps, ms",
    )  # fmt: skip
    verilated = training["median_seconds"]["verilated"]
    for name, seconds in training["median_seconds"].items():
        work = [training[when].get(name) for when in ("accelerator_seconds", "between_seconds")]
        table.add_row(
            "ordinary, no accelerator" if name == "ordinary" else f"Hotline, {name} beside",
            f"{1000 * seconds:.1f}", "" if name == "verilated" else f"{verilated / seconds:.2f} x as long",
            *("" if each is None else f"{1000 * each:.1f}" for each in work),
        )  # fmt: skip
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="", box=None, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 or column == "phase" else "right", no_wrap=number == 0)
    return table


def _describe(name: str) -> str:
    return "golden model" if name == "model" else name


def _load(figures: dict[str, Any], when: str) -> str:
    return f"{figures['load_average'][when][0]:.1f}"
