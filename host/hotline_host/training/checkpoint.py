"""Checkpoints on disk: whole or not there.

    FOLDER/step-00000400/    manifest.json           step, state, and the size of every shard
                             state.safetensors       tensors of the state
                             rows-00000.safetensors  embedding rows with their optimizer state, a range of keys a shard

A checkpoint is written beside its place and renamed once all of it is on the disk, so a process may be killed at any
moment. Tensors are in the safetensors format, which other tools read. It is written here, and not by its library, which
copies every tensor first and holds the interpreter's lock while it writes: training goes on meanwhile.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Generator, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hotline_host.errors import DataError, SettingsError

__all__ = [
    "Checkpoint", "Rows", "Saving", "StateCopy", "check_folder", "load_checkpoint", "newest_checkpoint",
    "save_checkpoint",
]  # fmt: skip

_FORMAT = 3
_NAME = re.compile(r"step-(\d{8,})")
_PARTIAL = ".partial-"
_REPLACED = ".replaced-"
_STATE = "state.safetensors"
_TENSOR = "tensor"
_ARRAY = "array"
_TUPLE = "tuple"
_FIRST = "first_key"
_DTYPES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.bool: "BOOL",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8",
    torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16",
}  # fmt: skip
"""Names of the safetensors format."""


@dataclass(frozen=True)
class Rows:
    """A range of embedding rows.

    Attributes:
        first: the key of the first one.
        tensors: by name, [c, ...] each: the rows and what the row optimizer keeps of them. With "keys", int64 [c], they
            are only some of the range; the others have their initial values.
    """

    first: int
    tensors: dict[str, Tensor]


@dataclass(frozen=True)
class Checkpoint:
    """One that is on the disk.

    Attributes:
        step: steps, or batches, that it has seen: the number that `save_checkpoint` was given.
        state: what `save_checkpoint` was given.
    """

    path: Path
    step: int
    state: dict[str, Any]
    _shards: tuple[str, ...]

    def rows(self) -> Iterator[Rows]:
        """All embedding rows, a shard at a time."""
        for name in self._shards:
            shard = _load(self.path / name)
            yield Rows(int(shard.pop(_FIRST)), shard)


def save_checkpoint(folder: Path, step: int, state: dict[str, Any], rows: Iterable[Rows], *, keep: int = 2) -> Path:
    """Writes a checkpoint. One of the same step is replaced, and all but the newest `keep` are removed.

    A folder is for one run. What it holds of later steps was left by another one, which would be resumed in its place.

    Memory beside the tensors: none but the shard that is being written.

    Args:
        state: nested dicts, lists and tuples of numbers, strings, None, arrays and tensors.
        rows: in ranges that together are all embedding rows.

    Raises:
        TypeError: there is something else in the state. It is named.
        SettingsError: the folder has a checkpoint of a later step.
        OSError: the disk is full, or cannot be written. What was there is there still.
    """
    check_folder(folder, step)
    return Saving(folder, step, StateCopy(state), rows, keep=keep).result()


def check_folder(folder: Path, step: int) -> None:
    """Raises SettingsError if a run that is at `step` cannot save into this folder, as it is another run's."""
    later = [path for path in _checkpoints(folder) if _step_of(path) > step]
    if later:
        raise SettingsError(
            f"{later[-1]} is of a later step than {step}, so of another run; go on from it, remove it, or save into "
            "another folder"
        )


class StateCopy:
    """A copy of the state for a checkpoint, as it is at this moment. Errors as `save_checkpoint`.

    Attributes:
        plain: JSON with the name of a tensor in the place of each.
        tensors: by name.
    """

    def __init__(self, state: dict[str, Any]) -> None:
        self.tensors: dict[str, Tensor] = {}
        self.plain = _without_tensors(state, "", self.tensors)


class Saving:
    """A checkpoint that is being written, in a thread of its own. Arguments as `save_checkpoint`.

    The rows are read as they are written, so `rows` must give them as they are now.
    """

    def __init__(self, folder: Path, step: int, state: StateCopy, rows: Iterable[Rows], *, keep: int = 2) -> None:
        self._given_up = Event()
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="save")
        self._done = self._thread.submit(_write, folder, step, state, rows, keep, self._given_up)
        self._thread.shutdown(wait=False)

    @property
    def ended(self) -> bool:
        """It is on the disk, or cannot be written."""
        return self._done.done()

    def result(self) -> Path:
        """Waits for its end. Raises OSError, as `save_checkpoint`."""
        self._thread.shutdown()  # the thread has ended too, not only its work
        return self._done.result()

    def give_up(self) -> None:
        """Ends the writing, and waits for that. What was there is there still."""
        self._given_up.set()
        self._thread.shutdown()


def _write(folder: Path, step: int, state: StateCopy, rows: Iterable[Rows], keep: int, given_up: Event) -> Path:
    try:
        return _write_all(folder, step, state, rows, keep, given_up)
    except OSError as error:
        if error.errno is None:
            raise
        what = f"the checkpoint of step {step} cannot be written ({error.strerror}); older ones are whole"
        raise OSError(error.errno, what, str(folder)) from error
    finally:
        if isinstance(rows, Generator):
            rows.close()


def _write_all(folder: Path, step: int, state: StateCopy, rows: Iterable[Rows], keep: int, given_up: Event) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    _put_back(folder)
    for left in folder.glob(f"{_PARTIAL}*"):
        shutil.rmtree(left, ignore_errors=True)
    path, partial = folder / f"step-{step:08}", folder / f"{_PARTIAL}{step:08}"
    partial.mkdir()
    try:
        sizes = {_STATE: _save(partial / _STATE, state.tensors)}
        shards = iter(rows)
        while (each := next(shards, None)) is not None:
            if given_up.is_set():
                raise InterruptedError("the checkpoint was given up")
            name = f"rows-{len(sizes) - 1:05}.safetensors"
            sizes[name] = _save(partial / name, {_FIRST: torch.tensor(each.first), **each.tensors})
            del each  # before the next one is made
        manifest = {"format": _FORMAT, "step": step, "bytes": sizes, "state": state.plain}
        with (partial / "manifest.json").open("w") as file:
            json.dump(manifest, file)
            file.flush()
            os.fsync(file.fileno())
        if path.exists():
            path.rename(folder / f"{_REPLACED}{path.name}")
        partial.rename(path)
        _flush_folder(folder)
        _put_back(folder)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    for old in _checkpoints(folder)[:-keep]:
        _remove(old)
    return path


def newest_checkpoint(folder: Path) -> Checkpoint | None:
    """The newest checkpoint in a folder, None if there is none. Errors as `load_checkpoint`."""
    _put_back(folder)
    found = _checkpoints(folder)
    return load_checkpoint(found[-1]) if found else None


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint; its embedding rows are read as they are asked for.

    Raises:
        DataError: a file is missing, cut short or of another format. The message names it.
    """
    try:
        manifest = json.loads((path / "manifest.json").read_text())
        if manifest["format"] != _FORMAT:
            raise DataError(f"{path} has format {manifest['format']}; this version reads format {_FORMAT}")
        sizes, step = manifest["bytes"], manifest["step"]
        for name, size in sizes.items():
            there = (path / name).stat().st_size
            if there != size:
                raise DataError(
                    f"{path / name} has {there} bytes of {size}: it was cut short; remove {path.name} to resume from "
                    "an older checkpoint"
                )
        tensors = _load(path / _STATE)
        state = _with_tensors(manifest["state"], tensors)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, DataError):
            raise
        raise DataError(f"{path} is no checkpoint: {error}") from None
    return Checkpoint(path, step, state, tuple(sorted(name for name in sizes if name != _STATE)))


def _checkpoints(folder: Path) -> list[Path]:
    """Oldest first."""
    found = [path for path in folder.glob("step-*") if _NAME.fullmatch(path.name)] if folder.is_dir() else []
    return sorted(found, key=_step_of)


def _step_of(path: Path) -> int:
    return int(path.name[5:])


def _remove(path: Path) -> None:
    """Removes a checkpoint. At no moment is a part of it there under its name."""
    going = path.parent / f"{_PARTIAL}old-{path.name}"
    path.rename(going)
    shutil.rmtree(going, ignore_errors=True)


def _put_back(folder: Path) -> None:
    """Removes checkpoints that were replaced. One whose process was killed before the new one was there comes back."""
    for aside in folder.glob(f"{_REPLACED}*"):
        path = folder / aside.name.removeprefix(_REPLACED)
        if path.exists():
            shutil.rmtree(aside, ignore_errors=True)
        else:
            aside.rename(path)


def _save(path: Path, tensors: dict[str, Tensor]) -> int:
    """Writes a safetensors file: the length of a header, the header (JSON), and the bytes of all tensors in its order.

    Returns:
        its size.
    """
    header: dict[str, Any] = {}
    end = 0
    for name, tensor in tensors.items():
        begin, end = end, end + tensor.nbytes
        header[name] = {"dtype": _DTYPES[tensor.dtype], "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("xb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in tensors.values():
            values = tensor.detach().contiguous().view(-1)
            if len(values):
                file.write(values.view(torch.uint8).numpy().data)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


def _load(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except SafetensorError as error:
        raise DataError(f"{path} is damaged: {error}") from None


def _flush_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _without_tensors(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """JSON with a name in the place of each tensor or array, which goes to `tensors`."""
    kind = _TENSOR
    if isinstance(value, np.ndarray):
        kind = _ARRAY
        try:
            value = torch.from_numpy(np.array(value, order="C"))
        except TypeError:
            raise TypeError(f"{name} is an array of {value.dtype}, which a checkpoint cannot hold") from None
    if isinstance(value, Tensor):
        if value.dtype not in _DTYPES or value.layout != torch.strided:
            raise TypeError(f"{name} is a {value.layout} tensor of {value.dtype}, which a checkpoint cannot hold")
        while name in tensors:  # a key may have a dot in it
            name += "'"
        tensors[name] = value.detach().cpu().clone()
        return {kind: name}
    if isinstance(value, dict):
        # Keys of JSON are strings, those of an optimizer's state numbers.
        for key in value:
            if key is not None and not isinstance(key, (bool, int, float, str)):
                raise TypeError(
                    f"{name} has the key {key!r}; keys that a checkpoint holds are numbers, strings and None"
                )
        return {
            "items": [
                [key, _without_tensors(item, f"{name}.{key}".lstrip("."), tensors)] for key, item in value.items()
            ]
        }
    if isinstance(value, (list, tuple)):
        items = [_without_tensors(item, f"{name}.{number}", tensors) for number, item in enumerate(value)]
        return {_TUPLE: items} if isinstance(value, tuple) else items
    if isinstance(value, np.generic):
        return value.item()
    if value is not None and not isinstance(value, (bool, int, float, str)):
        raise TypeError(
            f"{name} is a {type(value).__name__}; a checkpoint holds numbers, strings, None, arrays, tensors, and "
            "dicts, lists and tuples of these"
        )
    return value


def _with_tensors(value: Any, tensors: dict[str, Tensor]) -> Any:
    if isinstance(value, dict):
        if _TENSOR in value:
            return tensors[value[_TENSOR]]
        if _ARRAY in value:
            return tensors[value[_ARRAY]].numpy()
        if _TUPLE in value:
            return tuple(_with_tensors(item, tensors) for item in value[_TUPLE])
        return {key: _with_tensors(item, tensors) for key, item in value["items"]}
    if isinstance(value, list):
        return [_with_tensors(item, tensors) for item in value]
    return value
