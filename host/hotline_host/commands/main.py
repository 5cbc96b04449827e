"""The commands of `hotline`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Annotated

import typer

from hotline_device.registry import backend_help, find_backend
from hotline_host.data.log import ClickLog, Log
from hotline_host.data.sources import SOURCES, load, open_log
from hotline_host.errors import SettingsError
from hotline_host.experiments.settings import MEMORIES, Settings, check_seed
from hotline_host.experiments.summary import headline, summary
from hotline_host.files import write_npz
from hotline_host.splitters.replayed import recording_of
from hotline_hw.spec import params
from hotline_hw.spec.params import Geometry

from .benchmarks import add_benchmarks
from .console import check_files, plain_errors, show, write_results
from .entry import main
from .hardware import Overrides, Preset, add_commands
from .popularity import add_command
from .progress import TerminalProgress
from .synthesis import add_synth

if TYPE_CHECKING:
    from hotline_host.experiments.results import CosimResult  # torch takes seconds

__all__ = ["app", "main"]

app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False,
    help="Recommendation-model training with popular rows in GPU memory: the accelerator, simulated and in the loop.",
)  # fmt: skip

PIPELINE_NAMES = "hotline, hotline-split, ordinary, resident, zero-copy, static, lru, lfu"
"""Keys of `PIPELINES`, which only exist where torch has been imported."""

Data = Annotated[str, typer.Option(help=f"Click log: {', '.join(SOURCES)}.")]
Backend = Annotated[str, typer.Option(help=f"What stands for the accelerator. {backend_help()}.")]
HotRows = Annotated[
    int | None, typer.Option(help="Rows that may be hot. Default: a tenth of the log's rows, or all that fit.")
]
LearnShare = Annotated[float, typer.Option(help="Share of the log, from its start, from which popularity is learned.")]
LearnBy = Annotated[str, typer.Option(help="What rows count for: sample, or bag (for multi-hot logs).")]
RelearnShare = Annotated[float, typer.Option(help="Share of the later mini-batches that are also learned from.")]
SelectEvery = Annotated[int, typer.Option(help="Mini-batches between two choices of the hot rows.")]
MoveLimit = Annotated[int | None, typer.Option(help="Most rows that may become hot at one choice, after learning.")]
Objective = Annotated[
    str | None,
    typer.Option(help="Choose hot rows for popular samples (samples), or for few rows to fetch (rows). Default: "
                 "rows with the schedule pool, else samples."),
]  # fmt: skip
Memory = Annotated[
    str, typer.Option(help=f"Memory behind the accelerator, if it is simulated with a clock: {', '.join(MEMORIES)}.")
]
BatchSize = Annotated[int, typer.Option(help="Samples in a mini-batch.")]
Samples = Annotated[int | None, typer.Option(help="Most samples to take from the log.")]
SkipBad = Annotated[bool, typer.Option("--skip-bad", help="Skip damaged lines of a text log, and count them.")]
Seed = Annotated[int, typer.Option(help="Seed of the initial parameters and of the synthetic log.")]
Model = Annotated[str, typer.Option(help="Widths of the DLRM: small or kaggle.")]
Json = Annotated[Path | None, typer.Option("--json", help="Write all figures to this file.")]


@app.command(name="cosim")
def cosim_command(
    data: Data = "ml-100k",
    preset: Preset = "kaggle",
    backend: Annotated[
        str, typer.Option(help=f"What stands for the accelerator. {backend_help()}; replay:FILE: a recording.")
    ] = "verilated",
    hot_rows: HotRows = None,
    learn_share: LearnShare = 0.3,
    batch_size: BatchSize = 128,
    relearn_share: RelearnShare = 0.25,
    select_every: SelectEvery = 8,
    learn_by: LearnBy = "sample",
    objective: Objective = None,
    move_limit: MoveLimit = None,
    memory: Memory = "pcie4-x16",
    passes: Annotated[int, typer.Option(help="Passes over the training part of the log.")] = 4,
    steps: Annotated[int, typer.Option(help="Mini-batches to train on, instead of --passes; 0: use --passes.")] = 0,
    test_share: Annotated[float, typer.Option(help="Share of the log, from its end, to judge the result by.")] = 0.1,
    optimizer: Annotated[str, typer.Option(help="adagrad (row-wise for embedding rows) or sgd.")] = "adagrad",
    rate: Annotated[float, typer.Option(help="Learning rate.")] = 0.005,
    eps: Annotated[float, typer.Option(help="Epsilon of Adagrad; much smaller values amplify round-off.")] = 1e-3,
    model: Model = "small",
    dimension: Annotated[int | None, typer.Option(help="Embedding dimension, instead of the model's.")] = None,
    device: Annotated[str, typer.Option(help="Where to train: cpu, cuda, cuda:1, ...")] = "cpu",
    dtype: Annotated[str, typer.Option(help="float32 or float64.")] = "float32",
    schedule: Annotated[
        str, typer.Option(help="pool: the whole mini-batch at once; split: popular samples first, as published.")
    ] = "pool",
    autocast: Annotated[
        bool, typer.Option("--autocast", help="Compute the model in bfloat16 where that is safe.")
    ] = False,
    tables: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Keep the embedding tables in files there: they may exceed memory."),
    ] = None,
    lazy: Annotated[
        bool,
        typer.Option("--lazy", help="Draw embedding rows when they are first looked up, and take no memory before."),
    ] = False,
    save: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Keep checkpoints there. They are written beside the training.")
    ] = None,
    save_every: Annotated[int, typer.Option(help="Steps between two checkpoints; 0: one at the end.")] = 0,
    resume: Annotated[Path | None, typer.Option(metavar="DIR", help="Go on from the newest checkpoint there.")] = None,
    check: Annotated[
        bool, typer.Option("--check", help="Poison memory that owns no row, to find misplaced rows.")
    ] = False,
    patience: Annotated[
        float, typer.Option(help="Seconds that a process under torchrun waits for another one, before it ends.")
    ] = 300.0,
    accelerators: Annotated[
        str, typer.Option(help="Under torchrun: one for the processes of a node (node), or each its own (rank).")
    ] = "node",
    pipelines: Annotated[
        str, typer.Option(help=f"Ways to train, with commas between: {PIPELINE_NAMES}. Compared to the first.")
    ] = "hotline",
    baseline: Annotated[bool, typer.Option("--baseline", help="Short for adding ordinary to --pipelines.")] = False,
    json: Json = None,
    report: Annotated[Path | None, typer.Option(help="Draw a picture, cosim.png, into this folder.")] = None,
    overrides: Overrides = None,
    samples: Samples = None,
    skip_bad: SkipBad = False,
    seed: Seed = 0,
) -> None:
    """Train a DLRM with the accelerator in the loop.

    The accelerator learns popularity from the front of the log, and follows it while training, which begins after that
    part; the end of the log is kept to judge the result by its AUC. A Criteo log, and a generated one with the option
    rows=N, is read or drawn while it is used, and takes no memory however long it is.

    In several processes: torchrun --nproc-per-node 2 -m hotline cosim ...
    """
    with plain_errors() as progress:
        geometry = _geometry(preset, overrides)
        if recording_of(backend) is None:
            find_backend(backend)
        picture = report / "cosim.png" if report else None
        check_files(data, json=json, report=picture)
        progress("importing torch", 0, 1)
        from hotline_host.experiments.cosim import cosim  # torch takes seconds
        from hotline_host.experiments.cosim_settings import CosimSettings
        from hotline_host.training.ranks import launched_device, launched_ranks

        settings = CosimSettings(
            hot_rows=hot_rows, learn_share=learn_share, batch_size=batch_size, relearn_share=relearn_share,
            select_every=select_every, move_limit=move_limit, learn_by=learn_by, objective=objective,
            memory=memory, passes=passes,
            steps=steps, test_share=test_share,
            optimizer=optimizer, rate=rate, eps=eps, model=model, dimension=dimension,
            device=launched_device(device), dtype=dtype, seed=seed, schedule=schedule, tables=tables, lazy=lazy,
            check=check,
            save=save, save_every=save_every, resume=resume,
            autocast=autocast,
            pipelines=_names(pipelines, *(["ordinary"] if baseline else [])),
        )  # fmt: skip
        log, seconds = _open(data, skip_bad, samples, seed, progress)
        with launched_ranks(settings.torch_device(), patience, accelerators) as ranks:
            result = replace(cosim(log, geometry, backend, settings, progress, ranks), load_seconds=seconds)
            progress("writing results", 0, 1)
            if ranks.number == 0:
                write_results(result.as_dict(), json, (picture, lambda path: _draw_cosim(result, path)))
    if ranks.number == 0:
        show(headline(result), summary(result), json=json)


@app.command(name="split")
def split_command(
    data: Data = "ml-100k",
    preset: Preset = "kaggle",
    backend: Backend = "verilated",
    hot_rows: HotRows = None,
    learn_share: LearnShare = 0.2,
    batch_size: BatchSize = 2048,
    relearn_share: RelearnShare = 0.25,
    select_every: SelectEvery = 8,
    learn_by: LearnBy = "sample",
    objective: Objective = None,
    move_limit: MoveLimit = None,
    memory: Memory = "pcie4-x16",
    out: Annotated[
        Path | None, typer.Option(help="Write popular, slots and offsets of the classified samples to this .npz file.")
    ] = None,
    json: Json = None,
    overrides: Overrides = None,
    samples: Samples = None,
    skip_bad: SkipBad = False,
    seed: Seed = 0,
) -> None:
    """Let the accelerator learn from the front of a log, and split the rest into popular and non-popular samples."""
    with plain_errors() as progress:
        geometry = _geometry(preset, overrides)
        find_backend(backend)
        check_files(data, json=json, out=out)
        settings = Settings(
            hot_rows=hot_rows, learn_share=learn_share, batch_size=batch_size, relearn_share=relearn_share,
            select_every=select_every, move_limit=move_limit, learn_by=learn_by, objective=objective,
            memory=memory,
        )  # fmt: skip
        log, seconds = _open(data, skip_bad, samples, seed, progress)
        from hotline_host.experiments.split import split_log

        done = split_log(log, geometry, backend, settings, progress, keep=out is not None)
        result = replace(done, load_seconds=seconds)
        progress("writing results", 0, 1)
        write_results(result.as_dict(), json, (out, lambda path: write_npz(path, **result.arrays())))
    show(headline(result), summary(result), json=json)


@app.command(name="record")
def record_command(
    out: Annotated[Path, typer.Option("--out", "--output", help="The recording, an .npz file.")],
    data: Data = "ml-100k",
    preset: Preset = "kaggle",
    backend: Backend = "verilated",
    hot_rows: HotRows = None,
    learn_share: LearnShare = 0.2,
    batch_size: BatchSize = 2048,
    mini_batches: Annotated[int | None, typer.Option(help="Mini-batches to record. Default: all of the log.")] = None,
    relearn_share: RelearnShare = 0.25,
    select_every: SelectEvery = 8,
    learn_by: LearnBy = "sample",
    objective: Objective = None,
    move_limit: MoveLimit = None,
    memory: Memory = "pcie4-x16",
    row_bytes: Annotated[
        int | None, typer.Option(help="Bytes of an embedding row. Default: 4 for each of the log's dimensions.")
    ] = None,
    overrides: Overrides = None,
    samples: Samples = None,
    skip_bad: SkipBad = False,
    seed: Seed = 0,
) -> None:
    """Record what the accelerator answers, and its clock cycles, to train with elsewhere."""
    with plain_errors() as progress:
        geometry = _geometry(preset, overrides)
        find_backend(backend)
        check_files(data, out=out)
        settings = Settings(
            hot_rows=hot_rows, learn_share=learn_share, batch_size=batch_size, relearn_share=relearn_share,
            select_every=select_every, move_limit=move_limit, learn_by=learn_by, objective=objective,
            memory=memory,
        )  # fmt: skip
        log, _ = _open(data, skip_bad, samples, seed, progress)
        from hotline_host.experiments.record import record_log

        recording = record_log(
            log, geometry, backend, settings, out, mini_batches=mini_batches, row_bytes=row_bytes, seed=seed,
            progress=progress,
        )  # fmt: skip
    header = recording.header
    show(
        f"{out}: {header.mini_batches:,} mini-batches, samples {header.start:,} to {header.stop:,} of {header.log}, "
        f"{header.hot_rows:,} rows hot"
    )


def _geometry(name: str, overrides: list[str] | None) -> Geometry:
    settings = {}
    for setting in overrides or []:
        key, equals, value = setting.partition("=")
        try:
            settings[key.strip()] = int(value, 0)
        except ValueError:
            right = (
                f"--set {key.strip()}=NUMBER" if equals and key.strip() else "--set NAME=NUMBER, such as --set ways=8"
            )
            raise SettingsError(f"--set {setting}: write {right}") from None
    return params.preset(name).override(settings)


def _load(
    data: str, skip_bad: bool, samples: int | None, seed: int, progress: TerminalProgress
) -> tuple[ClickLog, float]:
    """The log in memory, and the seconds that it took."""
    check_seed(seed)
    start = perf_counter()
    progress(f"loading {data}", 0, 1)
    log = load(data, skip_bad=skip_bad, samples=samples, seed=seed, progress=progress)
    return log, perf_counter() - start


def _open(data: str, skip_bad: bool, samples: int | None, seed: int, progress: TerminalProgress) -> tuple[Log, float]:
    """As `_load`, but the log takes no memory if it can be read or drawn while it is used."""
    check_seed(seed)
    start = perf_counter()
    progress(f"opening {data}", 0, 1)
    log = open_log(data, skip_bad=skip_bad, samples=samples, seed=seed, progress=progress)
    return log, perf_counter() - start


def _names(names: str, *more: str) -> tuple[str, ...]:
    """Names that are separated by commas, and `more` unless they are among them."""
    given = tuple(name.strip() for name in names.split(","))
    return given + tuple(name for name in more if name not in given)


def _draw_cosim(result: CosimResult, path: Path) -> None:
    from hotline_host.experiments.report import draw

    draw(result, path)


add_command(app, _load)
add_benchmarks(app, _load, _geometry)
add_commands(app, _geometry)
add_synth(app, _geometry)
