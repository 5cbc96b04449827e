"""`hotline.save` and `hotline.load`: a loop that goes on is the loop that nobody stopped."""

from __future__ import annotations

import random
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

import hotline
from hotline_device.registry import open_device
from hotline_host.data.minibatches import MiniBatches
from hotline_host.driver.driver import Driver
from hotline_host.errors import DataError, DriverError, SettingsError
from hotline_host.splitters.recording import record
from hotline_host.training import checkpoint, saver
from hotline_hw.spec.params import PRESETS
from tests.support.collections_of_bags import (
    ALL_KINDS,
    EXACT,
    FOLLOW,
    ONE_D,
    Config,
    Jagged,
    batches,
    collection,
    loss_of,
    of_tables,
    train,
)
from tests.support.gathering_runs import ROWS, SAMPLES, drifting_log

ACCELERATED = pytest.mark.parametrize("accelerator", ["model", None])
STEPS = 24


class Model(nn.Module):
    """All that a loop may draw random numbers for, and a schedule that reaches the rows too."""

    def __init__(self, tables: list[Config], **options: Any) -> None:
        super().__init__()
        self.rate = torch.tensor(0.1)
        for seed in (random.seed, np.random.seed, torch.manual_seed):
            seed(0)
        self.emb = collection(tables, dtype=torch.float32, **{"optimizer": hotline.Adam(self.rate)} | options)
        self.scale = nn.Parameter(torch.ones(1))
        self.drop = nn.Dropout(0.3)
        self.optimizer = torch.optim.Adam([self.scale], lr=self.rate)
        self.schedule = torch.optim.lr_scheduler.ExponentialLR(self.optimizer, 0.9)

    @property
    def objects(self) -> dict[str, Any]:
        return {"model": self, "optimizer": self.optimizer, "schedule": self.schedule}

    def step(self, features: Jagged) -> float:
        noise = random.random() + np.random.random() + torch.rand(()).item()  # noqa: NPY002  # as loaders do
        loss = loss_of(self.emb(features)) * self.drop(self.scale + torch.ones(8)).sum() + noise * self.scale.sum()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()
        self.schedule.step()
        return loss.item()


def run(model: Model, feed: Iterator[Jagged], folder: Path, done: int = 0, every: int = 5) -> list[float]:
    losses = []
    for step, features in enumerate(hotline.prefetch(feed, model.emb, skip=done), done + 1):
        losses.append(model.step(features))
        if step % every == 0:
            hotline.save(folder, model.emb, **model.objects)
    return losses


def steps_in(folder: Path) -> list[int]:
    return sorted(int(path.name[5:]) for path in folder.glob("step-*"))


@ACCELERATED
@pytest.mark.parametrize("tables", [ONE_D, ALL_KINDS], ids=["one D", "all kinds"])
def test_a_loop_that_goes_on_is_the_loop_that_nobody_stopped(
    accelerator: str | None, tables: list[Config], tmp_path: Path
) -> None:
    whole = Model(tables, accelerator=accelerator)
    expected = run(whole, batches(tables, STEPS), tmp_path / "whole")
    stopped = Model(tables, accelerator=accelerator)
    losses = run(stopped, islice(batches(tables, STEPS), 17), tmp_path)
    assert losses == expected[:17]
    (_, done) = steps_in(tmp_path)
    assert 15 <= done <= 17

    for _ in range(7):  # generators are elsewhere by now
        random.random()
        np.random.random()  # noqa: NPY002
    again = Model(tables, accelerator=accelerator)
    assert hotline.load(tmp_path, again.emb, **again.objects) == done
    assert run(again, batches(tables, STEPS), tmp_path, done) == expected[done:]
    assert again.emb.rate is again.optimizer.param_groups[0]["lr"] and float(again.rate) == float(whole.rate)
    for name, rows in whole.emb.weights().items():
        assert torch.equal(again.emb.weights()[name], rows), name
    # Rows that the first mini-batch would have found in the pool come from host memory.
    figures = [model.emb.figures() for model in (again, whole)]
    for each in figures:
        for name in ("gathered", "by_host", "held"):
            each.pop(name)
    assert figures[0] == figures[1] and (figures[0]["moved"] > 0 or accelerator is None)


@pytest.mark.parametrize(("earlier", "later"), [("model", None), (None, "model")])
@pytest.mark.parametrize("lazy", [False, True])
def test_any_accelerator_goes_on(earlier: str | None, later: str | None, lazy: bool, tmp_path: Path) -> None:
    """The losses do not depend on which rows are hot. Rows that were never looked up are not in the checkpoint."""
    options = [
        {"accelerator": name, "lazy": lazy and name is not None, "optimizer": hotline.SGD(0.5)}
        for name in (earlier, later)
    ]
    tables = [Config(name="a", num_embeddings=9000, embedding_dim=4), *ONE_D[1:]]
    feed = list(batches(tables, 14, most=1))
    whole = collection(tables, **options[0])
    expected = train(whole, hotline.prefetch(feed, whole))
    first, second = (collection(tables, **each) for each in options)
    train(first, hotline.prefetch(feed[:6], first))
    hotline.save(tmp_path, first)
    if lazy and earlier:
        kept = [part.tensors["rows"] for part in checkpoint.load_checkpoint(tmp_path / "step-00000006").rows()]
        assert sum(map(len, kept)) < 9000
    assert hotline.load(tmp_path, second) == 6
    assert train(second, hotline.prefetch(feed[6:], second)) == expected[6:]
    if lazy and earlier:
        with pytest.raises(DataError, match="another collection: seed 3 there, and 4 here"):
            hotline.load(tmp_path, collection(tables, **options[1], seed=4))


def test_a_recording_goes_on_where_it_was(tmp_path: Path) -> None:
    """It was at a mini-batch in its middle, and rows had moved since it began."""
    log, path = MiniBatches(drifting_log(multi_hot=True), 0, 24 * SAMPLES, SAMPLES), tmp_path / "made.npz"
    with open_device("model", PRESETS["tiny"]) as device:
        driver = Driver(device)
        driver.set_hot_rows(24)
        record(
            path,
            driver,
            log,
            FOLLOW,
            preset="tiny",
            backend="model",
            memory=None,
            seed=0,
            row_bytes=32,
            clock_mhz=250.0,
        )
    tables = [
        Config(name=name, num_embeddings=int(rows), embedding_dim=4) for name, rows in zip("abcd", ROWS, strict=True)
    ]
    whole, first, second, live = (collection(tables, accelerator=name) for name in (*[f"replay:{path}"] * 3, "model"))
    feed = [of_tables(batch) for batch in log]
    expected = train(whole, hotline.prefetch(feed, whole))
    train(first, hotline.prefetch(feed[:13], first))
    hotline.save(tmp_path, first)
    assert hotline.load(tmp_path, second) == 13
    assert train(second, hotline.prefetch(feed[13:], second)) == expected[13:]
    assert second.figures()["moved"] == whole.figures()["moved"] > first.figures()["moved"] > 0
    assert hotline.load(tmp_path, live) == 13, "without a tracker the hot rows are those that it learns from now on"
    np.testing.assert_allclose(train(live, hotline.prefetch(feed[13:], live)), expected[13:], **EXACT)


@ACCELERATED
def test_the_loop_goes_on_while_rows_are_written(accelerator: str | None, tmp_path: Path, monkeypatch) -> None:
    """Every shard is written only after a further step, and holds what was there before that."""
    whole = collection(ONE_D, accelerator=accelerator)
    expected = train(whole, hotline.prefetch(batches(ONE_D, 14), whole))
    monkeypatch.setattr(saver, "_SHARD_BYTES", 100 * 4 * 8)
    step, late, write = threading.Semaphore(0), [], checkpoint._save

    def slow(path: Path, tensors: dict) -> int:
        if path.name.startswith("rows-") and accelerator:
            late.append(step.acquire(timeout=10))
        return write(path, tensors)

    monkeypatch.setattr(checkpoint, "_save", slow)
    emb = collection(ONE_D, accelerator=accelerator)
    for number, features in enumerate(hotline.prefetch(batches(ONE_D, 14), emb)):
        if emb._loop.saver._saving:
            step.release()
        loss_of(emb(features)).backward()
        if number == 3:
            hotline.save(tmp_path, emb)
    assert late == ([True] * 4 if accelerator else [])
    (done,) = steps_in(tmp_path)
    again = collection(ONE_D, accelerator=accelerator)
    assert hotline.load(tmp_path, again) == done < 8
    losses = train(again, hotline.prefetch(islice(batches(ONE_D, 14), done, None), again))
    assert losses == expected[done:]


def test_a_loader_with_a_state_is_where_the_loop_is(tmp_path: Path) -> None:
    """Nothing was taken ahead, whatever the depth, however many batches are accumulated, and where rooms are made."""

    class Loader:
        at = 0

        def __iter__(self) -> Iterator[Jagged]:
            while self.at < 20:
                self.at += 1
                yield Jagged.from_dict({name: torch.arange(self.at) % 7 for name in ("a", "b1", "b2", "c")})

        def state_dict(self) -> dict[str, int]:
            return {"at": self.at}

        def load_state_dict(self, state: dict[str, int]) -> None:
            self.at = state["at"]

    for depth, accumulate in ((1, 1), (4, 1), (7, 3)):
        emb, loader = collection(ONE_D, accumulate=accumulate), Loader()
        folder = tmp_path / str(depth)
        for step, features in enumerate(hotline.prefetch(loader, emb, depth=depth), 1):
            loss_of(emb(features)).backward()
            if step % 4 == 0:
                hotline.save(folder, emb, loader=loader)
        for path in folder.glob("step-*"):
            assert checkpoint.load_checkpoint(path).state["objects"]["loader"] == {"at": int(path.name[5:])}
        later = Loader()
        assert hotline.load(folder, collection(ONE_D), loader=later) == later.at == steps_in(folder)[-1] == 20


def test_a_loop_that_is_left(tmp_path: Path) -> None:
    """What was wanted is dropped; outside, it is saved at once. The batches that were trained on count."""
    emb, generator = collection(ONE_D), torch.Generator().manual_seed(4)
    for number, features in enumerate(hotline.prefetch(batches(ONE_D, 14), emb)):
        loss_of(emb(features)).backward()
        hotline.save(tmp_path, emb)
        if number == 4:
            break
    for features in hotline.prefetch(batches(ONE_D, 3), emb):
        emb(features)
        break
    for _ in hotline.prefetch(batches(ONE_D, 2), emb):
        emb.skip()
    hotline.save(tmp_path / "outside", emb, generator=generator)
    assert steps_in(tmp_path / "outside") == [7]
    expected, other = torch.rand(3, generator=generator), torch.Generator()
    assert hotline.load(tmp_path / "outside", collection(ONE_D), generator=other) == 7
    assert torch.equal(torch.rand(3, generator=other), expected)


def test_a_full_disk_ends_the_loop(tmp_path: Path, monkeypatch) -> None:
    emb = collection(ONE_D)
    hotline.save(tmp_path, emb)
    train(emb, hotline.prefetch(batches(ONE_D, 2), emb))

    def full(path: Path, tensors: dict) -> int:
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(checkpoint, "_save", full)
    kept = []  # a traceback, with all that is in its frames
    for _ in range(2):
        with pytest.raises(OSError, match=r"of step 2 cannot .* \(No space left on device\); older ones are") as found:
            hotline.save(tmp_path, emb)
        kept.append(found)
    taken = 0

    def loop() -> None:
        nonlocal taken
        for features in hotline.prefetch(batches(ONE_D, 90), emb):
            loss_of(emb(features)).backward()
            taken += 1
            if taken == 1:
                hotline.save(tmp_path, emb)
            while taken > 2 and any(thread.name.startswith("save") for thread in threading.enumerate()):
                time.sleep(0.01)

    refused(OSError, "the checkpoint of step 4 cannot be written", loop)
    assert taken <= 4
    monkeypatch.undo()
    assert steps_in(tmp_path) == [0]
    hotline.save(tmp_path, emb)
    assert len(steps_in(tmp_path)) == 2


def refused(error: type[Exception], message: str, call: Callable[[], Any]) -> None:
    with pytest.raises(error, match=message):
        call()


def test_what_cannot_be_saved_or_loaded_is_named(tmp_path: Path) -> None:
    emb = collection(ONE_D)
    assert hotline.load(tmp_path / "none", emb) == 0
    refused(
        SettingsError,
        r"epoch is a int; what is saved must have state_dict\(\)",
        lambda: hotline.save(tmp_path, emb, epoch=3),
    )

    class Odd:
        def state_dict(self) -> dict[str, Any]:
            return {"log": [print]}

        def load_state_dict(self, state: dict[str, Any]) -> None: ...

    refused(
        SettingsError,
        r"objects.odd.log.0 is a builtin_function_or_method; a checkpoint holds",
        lambda: hotline.save(tmp_path, emb, odd=Odd()),
    )
    layer = nn.Linear(2, 2)
    hotline.save(tmp_path, emb, layer=layer)
    other = [Config(name="a", num_embeddings=61, embedding_dim=4), *ONE_D[1:]]
    for options, error, message in (
        (
            {"tables": other},
            DataError,
            "step-00000000 is of another collection: tables .*60.* there, and .*61.* here",
        ),
        ({"optimizer": hotline.Adam(0.5)}, DataError, "optimizer SGD there, and Adam here"),
        ({"dtype": torch.float32}, DataError, "dtype torch.float64 there, and torch.float32 here"),
        ({"hot_rows": 12}, DriverError, "the checkpoint's tracker has 24 hot rows, and this one 12"),
        (
            {"preset": PRESETS["small"]},
            DriverError,
            "tracker is of another accelerator: its row_bits is 32, and here it is 28",
        ),
    ):
        fresh = collection(options.pop("tables", ONE_D), **options)
        before = fresh.weights()
        refused(error, message, lambda fresh=fresh: hotline.load(tmp_path, fresh, layer=layer))
        for name, rows in before.items():
            assert torch.equal(fresh.weights()[name], rows)
    refused(DataError, "layer is only in the checkpoint", lambda: hotline.load(tmp_path, collection(ONE_D)))
    refused(
        DataError,
        "more is not in the checkpoint",
        lambda: hotline.load(tmp_path, collection(ONE_D), layer=layer, more=layer),
    )
    emb.load_weights(emb.weights())
    refused(
        OrderError := hotline.OrderError,
        "trained or loaded before; make a new one",
        lambda: hotline.load(tmp_path, emb, layer=layer),
    )
    trained = collection(ONE_D)
    train(trained, hotline.prefetch(batches(ONE_D, 1), trained))
    refused(OrderError, "trained or loaded before", lambda: hotline.load(tmp_path, trained, layer=layer))
    checkpoint.save_checkpoint(tmp_path / "cosim", 4, {"run": {}}, [])
    refused(DataError, "was not written by hotline.save", lambda: hotline.load(tmp_path / "cosim", collection(ONE_D)))
    (tmp_path / "step-00000000" / "rows-00000.safetensors").write_bytes(b"short")
    refused(
        DataError,
        "rows-00000.safetensors has 5 bytes of .*cut short",
        lambda: hotline.load(tmp_path, collection(ONE_D), layer=layer),
    )
    shutil.rmtree(tmp_path / "step-00000000")


def test_a_loader_that_shuffles_by_the_global_generator_goes_on(tmp_path: Path) -> None:
    def losses(folder: Path, stop: int) -> list[float]:
        model = Model(ONE_D)
        done = hotline.load(folder, model.emb, **model.objects)
        feed = DataLoader(list(batches(ONE_D, 16)), batch_size=None, shuffle=True)
        found = run(model, islice(feed, stop), folder, done, every=4)
        model.emb.close()
        return found

    expected = losses(tmp_path / "whole", 16)
    assert losses(tmp_path / "stopped", 9) == expected[:9]
    (done,) = steps_in(tmp_path / "stopped")[-1:]
    assert 8 <= done <= 9
    assert losses(tmp_path / "stopped", 16) == expected[done:]


def test_two_folders_at_one_step(tmp_path: Path) -> None:
    model = Model(ONE_D)
    for step, features in enumerate(hotline.prefetch(batches(ONE_D, 8), model.emb), 1):
        model.step(features)
        if step == 3:
            for name in ("kept", "milestones"):
                hotline.save(tmp_path / name, model.emb)
    assert steps_in(tmp_path / "kept") == steps_in(tmp_path / "milestones") != []
