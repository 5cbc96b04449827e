"""The results of a benchmark, as tables for the terminal."""

from __future__ import annotations

from rich.table import Table

from .results import SimBenchResult

__all__ = ["sim_bench_tables"]


def sim_bench_tables(result: SimBenchResult) -> list[Table]:
    """Streams, what the device's cycles were, training, gathering, and the return path.

    Each title says what is compared with what.
    """
    return [
        _streams(result), _limits(result), _where(result), _training(result), _gather(result), _return_path(result),
    ]  # fmt: skip


def _streams(result: SimBenchResult) -> Table:
    table = _table(
        f"{result.log.data}, mini-batches of {result.batch_size:,}, {result.hot_rows:,} hot rows, "
        f"{result.preset}, on {result.cores} cores of {result.machine}; "
        f"load average {_load(result, 'before')} before, {_load(result, 'after')} after.\n"
        f"Streams: median of {result.rounds} rounds"
        + (f", one round of {result.rival}. It takes one Python step a clock cycle." if result.rival else "."),
        "backend", "phase", "lookups", "lookups/s", "cold rows/s", "clock cycles/s", "verilated is",
    )  # fmt: skip
    for name, phases in result.stream.items():
        for phase, measured in phases.items():
            cycles = measured.cycles_per_second
            table.add_row(
                _describe(name), phase.upper(), f"{measured.lookups:,}", f"{measured.lookups_per_second:,.0f}",
                f"{measured.rows_per_second:,.0f}" if measured.rows else "",
                f"{cycles:,.0f}" if cycles else "none", _ratio(result, name, phase),
            )  # fmt: skip
    return table


def _ratio(result: SimBenchResult, name: str, phase: str) -> str:
    if name == "verilated":
        return ""
    ratio = result.stream["verilated"][phase].lookups_per_second / result.stream[name][phase].lookups_per_second
    factor, word = (ratio, "faster") if ratio >= 1 else (1 / ratio, "slower")
    return f"{factor:,.1f} x {word}"


def _limits(result: SimBenchResult) -> Table:
    table = _table(
        f"The core in its own clock cycles ({result.geometry['lanes']} lanes; the bound is 1 lookup a lane a "
        "cycle), and the share of cycles in which ...",
        "phase", "lookups/lane/cycle", "input idle", "bank full", "beat split", "output held",
    )  # fmt: skip
    for phase, measured in result.stream["verilated"].items():
        shares = measured.shares
        assert shares is not None, "the Verilated device has a clock"
        table.add_row(
            phase.upper(), f"{measured.lookups_per_cycle_per_lane:.3f}",
            *(f"{shares[name]:.1%}" for name in ("input_idle", "bank_stall", "split_beats", "output_stall")),
        )  # fmt: skip
    return table


def _where(result: SimBenchResult) -> Table:
    causes = {
        "useful": "dma_useful", "core": "dma_core", "reads due": "dma_read", "writes held": "dma_write",
        "overhead": "dma_overhead",
    }  # fmt: skip
    table = _table(
        f"The device in its own clock cycles, {result.memory} behind it, and what it did in them; GATHER: CLASSIFY and "
        "GATHER of every mini-batch, rows of 16 float32",
        "phase", "lookups/lane/cycle", *causes,
    )  # fmt: skip
    for phase, measured in result.stream["verilated"].items():
        shares = measured.dma_shares
        assert shares is not None, "the Verilated device has a clock"
        table.add_row(
            phase.upper(), f"{measured.lookups_per_dma_cycle_per_lane:.3f}",
            *(f"{shares[name]:.1%}" for name in causes.values()),
        )  # fmt: skip
    return table


def _gather(result: SimBenchResult) -> Table:
    dimensions = list(next(iter(result.gather.values())))
    table = _table(
        "GATHER alone, rows at random, float32: GB/s of rows; of the time with reads or writes under way, the share in "
        "which memory's link was busy, or data came over the accelerator's bus, whichever is larger",
        "memory", *(f"D = {dimension}" for dimension in dimensions),
    )  # fmt: skip
    for memory, measured in result.gather.items():
        table.add_row(memory, *(f"{each.gb_per_s:.1f}, {each.utilisation:.1%}" for each in measured.values()))
    return table


def _return_path(result: SimBenchResult) -> Table:
    first = next(iter(result.return_path.values()))
    table = _table(
        f"Row-wise Adagrad on the {first.rows:,} cold rows of a mini-batch, microseconds: the driver, measured here "
        f"on {first.threads} threads; the traffic of a SCATTER on {result.memory}, simulated, no arithmetic",
        "D", "driver", "SCATTER at the least",
    )  # fmt: skip
    for dimension, each in result.return_path.items():
        table.add_row(dimension, *(f"{1e6 * way:,.0f}" for way in (each.driver_seconds, each.scatter_seconds)))
    return table


def _training(result: SimBenchResult) -> Table:
    training = result.training
    popular = "" if training.popular_share is None else f"; {training.popular_share:.1%} of samples popular"
    table = _table(
        f"Training step of the pipeline hotline, {result.model} DLRM, {result.dtype} on {result.device}, median of "
        f"{result.rounds * result.steps}{popular}.\nAn accelerator splits the next mini-batch beside the step, and "
        f"gathers its cold rows. RTL in the loop over model in the loop: {training.rtl_ratio:.2f}",
        "accelerator", "step, ms", "accelerator beside it, ms", "waited for it, ms",
    )  # fmt: skip
    for name, seconds in training.median_seconds.items():
        work = [times.get(name) for times in (training.accelerator_seconds, training.wait_seconds)]
        table.add_row(
            _describe(name), f"{1000 * seconds:.1f}", *("" if each is None else f"{1000 * each:.1f}" for each in work)
        )
    return table


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="", box=None, padding=(0, 2, 0, 0))
    for number, column in enumerate(columns):
        table.add_column(column, justify="left" if number == 0 or column == "phase" else "right", no_wrap=number == 0)
    return table


def _describe(name: str) -> str:
    return "golden model" if name == "model" else name


def _load(result: SimBenchResult, when: str) -> str:
    return f"{result.load_average[when][0]:.1f}"
