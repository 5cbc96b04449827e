"""Keeps a model that trains with a collection, and goes on from what was kept.

    done = hotline.load("kept", emb, model=model, optimizer=optimizer)     # 0 if nothing was kept
    for step, batch in enumerate(hotline.prefetch(loader, emb, skip=done), done + 1):
        ...
        if step % 1000 == 0:
            hotline.save("kept", emb, model=model, optimizer=optimizer)

A run that was stopped at any moment and goes on from there is the run that nobody stopped. Files and format are those
of `hotline cosim --save` (`training/checkpoint.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.nn.parallel import DistributedDataParallel

from hotline_host.errors import DataError, SettingsError
from hotline_host.training.checkpoint import Checkpoint, newest_checkpoint
from hotline_host.training.optim import load_optimizer_state

from .collection import EmbeddingBagCollection
from .random_state import random_states
from .training_step import OrderError

__all__ = ["load", "save"]


def save(folder: Path | str, emb: EmbeddingBagCollection, **objects: Any) -> None:
    """Keeps a collection, and what else a loop trains, in a new checkpoint. The newest two in the folder stay.

    Inside of the loop over `prefetch` it says that a checkpoint is wanted, at any place. `prefetch` takes no further
    batch from the loader then, and begins the checkpoint when the loop has used all that were taken before, at most
    `depth`, and asks for the next. So the loader, all generators and the accelerator are where the loop is. The loop
    goes on while rows are written. If it is left before, nothing is saved. Outside of a loop, this returns once the
    checkpoint is on the disk; it comes before `emb.close()`. After a `break` a loader that has a state is ahead of the
    loop, so it must not be among the objects.

    A checkpoint holds all rows with their optimizer's state, the accelerator's tracker, how many batches are done with,
    the states of Python's, NumPy's and torch's generators, and the objects. It is written a shard of rows at a time,
    and has its name only when all of it is on the disk.

    Args:
        folder: for the checkpoints of this run.
        objects: what else is to go on, by name: modules, optimizers, or anything with `state_dict()` and
            `load_state_dict()`, and torch.Generators. The collection may be a part of a module.

    Raises:
        SettingsError: an object cannot be kept. It is named. Or the folder has a checkpoint of a later step, so it is
            another run's.
        OSError: the disk is full, or cannot be written; older checkpoints are whole.
        RanksError: another rank raises one of these. No rank has a checkpoint of this step then.

    Inside of a loop, `prefetch` raises them, before the next batch or at the end.
    """
    for name, value in objects.items():
        if not isinstance(value, torch.Generator) and not _has_state(value):
            raise SettingsError(
                f"{name} is a {type(value).__name__}; what is saved must have state_dict() and load_state_dict(), or "
                "be a torch.Generator"
            )
    emb._loop.save(Path(folder), lambda: _save(Path(folder), emb, objects))


def load(folder: Path | str, emb: EmbeddingBagCollection, **objects: Any) -> int:
    """Goes on from the newest checkpoint in a folder. The collection is new, and of the same tables and optimizer. It
    may have another accelerator, and there may be another number of ranks. The random number generators are set when
    the next loop over `prefetch` begins, after the batches that it skips, since a loader may draw from them.

    Args:
        objects: as they were given to `save`, by the same names.

    Returns:
        The batches that are done with, of all loops together: `skip` of `prefetch`. 0 if there is no checkpoint, and
        nothing has changed.

    Raises:
        DataError: the checkpoint is damaged, or of another collection or other objects. The message says in what.
        DriverError: the tracker is of another accelerator, or of another number of hot rows.
        OrderError: rows of the collection were trained or loaded before.
    """
    if emb._loop.begun or emb._loaded:
        raise OrderError("rows of the collection were trained or loaded before; make a new one, and load() first")
    checkpoint = newest_checkpoint(Path(folder))
    if checkpoint is None:
        return 0
    state = checkpoint.state
    if "collection" not in state:
        raise DataError(f"{checkpoint.path} was not written by hotline.save; `hotline cosim --resume` takes it")
    _check(checkpoint, emb, objects)
    emb._go_on(state["collection"], checkpoint.rows())
    for name, value in objects.items():
        with _apart(emb):
            _load_object(value, state["objects"][name])
    emb._loop.random = state["random"]
    return checkpoint.step


def _save(folder: Path, emb: EmbeddingBagCollection, objects: dict[str, Any]) -> None:
    with _apart(emb):
        states = {name: _state_of(value) for name, value in objects.items()}
    state = {"collection": emb._kept(), "objects": states, "random": random_states(emb._ranks)}
    rows, ranks, loop = emb._rows, emb._ranks, emb._loop
    try:
        loop.saver.save(
            folder, loop.position, state, rows.shards, rows.row_bytes, beside=rows.saves_beside, ranks=ranks
        )
    except TypeError as error:
        raise SettingsError(str(error)) from None


def _check(checkpoint: Checkpoint, emb: EmbeddingBagCollection, objects: dict[str, Any]) -> None:
    kept, here = checkpoint.state["collection"], emb._identity
    was = kept["identity"]
    if kept["undrawn_seed"] is not None:  # of rows that nobody had looked up
        was, here = was | {"seed": kept["undrawn_seed"]}, here | {"seed": emb._seed}
    for key in was:
        if was[key] != here[key]:
            raise DataError(f"{checkpoint.path} is of another collection: {key} {was[key]} there, and {here[key]} here")
    saved = checkpoint.state["objects"]
    for name in saved | objects:
        if name not in saved or name not in objects:
            where = "only in the checkpoint" if name in saved else "not in the checkpoint"
            raise DataError(f"{checkpoint.path}: {name} is {where}; load() takes what save() was given")


def _has_state(value: Any) -> bool:
    return all(callable(getattr(value, name, None)) for name in ("state_dict", "load_state_dict"))


def _state_of(value: Any) -> Any:
    return value.get_state() if isinstance(value, torch.Generator) else _plain(value).state_dict()


def _load_object(value: Any, state: Any) -> None:
    if isinstance(value, torch.Generator):
        value.set_state(state)
    elif isinstance(value, torch.optim.Optimizer):
        load_optimizer_state(value, state)
    else:
        _plain(value).load_state_dict(state)


def _plain(value: Any) -> Any:
    """Without the wrapper of several ranks, so that another number of them can go on."""
    return value.module if isinstance(value, DistributedDataParallel) else value


@contextmanager
def _apart(emb: EmbeddingBagCollection) -> Iterator[None]:
    """Within the block, states of modules do not hold the rows of the collection."""
    emb._apart = True
    try:
        yield
    finally:
        emb._apart = False
