"""`--learn-by bag` reaches every descriptor that learns, by every way that leads there."""

from __future__ import annotations

from typing import Any
from unittest import mock

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from hotline_host.benchmarks.rivals import bench as rivals
from hotline_host.benchmarks.rivals.settings import RivalSettings
from hotline_host.commands.main import app
from hotline_host.data.log import ClickLog
from hotline_host.driver import driver as driver_module
from hotline_host.driver import follow
from hotline_host.driver.batches import BatchRunner
from hotline_host.experiments.cosim import cosim
from hotline_host.experiments.cosim_settings import CosimSettings
from hotline_host.experiments.record import record_log
from hotline_host.experiments.settings import Settings
from hotline_host.experiments.split import split_log
from hotline_hw.spec.descriptors import Opcode
from hotline_hw.spec.params import PRESETS
from tests.formal.mutants import mutated

TINY = PRESETS["tiny"]


@pytest.fixture(scope="module")
def log() -> ClickLog:
    """60 multi-hot samples of 2 tables."""
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 3, (60, 2))
    indices = rng.integers(0, 9, lengths.sum())
    dense, label = rng.standard_normal((60, 2)).astype(np.float32), np.arange(60, dtype=np.float32) % 2
    return ClickLog("made", ("a", "b"), np.array([9, 9]), indices, lengths, dense, label)


class Watch:
    """What `BatchRunner.prepare` is asked for: (opcode, relearn, by_bag)."""

    def __init__(self) -> None:
        self.asked: list[tuple[Opcode, bool, bool]] = []
        prepare, asked = BatchRunner.prepare, self.asked

        def watched(runner: Any, batches: Any, opcode: Opcode, *, relearn: bool = False, by_bag: bool = False) -> Any:
            asked.append((opcode, relearn, by_bag))
            return prepare(runner, batches, opcode, relearn=relearn, by_bag=by_bag)

        self.patch = mock.patch.object(BatchRunner, "prepare", watched)

    def check(self, *, by_bag: bool) -> None:
        """Raises AssertionError if something is learned in another way."""
        learned = [asked for asked in self.asked if asked[0] == Opcode.LEARN]
        assert learned and all(bag == by_bag for _, _, bag in learned)
        relearned = [asked for asked in self.asked if asked[0] == Opcode.CLASSIFY and asked[1]]
        if by_bag:
            assert not relearned, "learned by sample, in the pass that classifies"
            first = next(at for at, asked in enumerate(self.asked) if asked[0] == Opcode.CLASSIFY)
            assert any(asked[0] == Opcode.LEARN for asked in self.asked[first:]), "learned in a second pass"
        else:
            assert relearned


def run(way: str, log: ClickLog, learn_by: str, folder: Any) -> None:
    options = {"hot_rows": 6, "learn_share": 0.3, "batch_size": 8, "relearn_share": 0.5, "learn_by": learn_by}
    if way == "split":
        split_log(log, TINY, "model", Settings(**options))
    elif way == "record":
        record_log(log, TINY, "model", Settings(**options), folder / "r.npz", row_bytes=16)
    else:
        cosim(log, TINY, "model", CosimSettings(**options, passes=1, pipelines=("hotline",)))


@pytest.mark.parametrize("learn_by", ["bag", "sample"])
@pytest.mark.parametrize("way", ["split", "record", "cosim"])
def test_descriptors(way: str, learn_by: str, log: ClickLog, tmp_path: Any) -> None:
    watch = Watch()
    with watch.patch:
        run(way, log, learn_by, tmp_path)
    watch.check(by_bag=learn_by == "bag")


@pytest.mark.parametrize(
    ("place", "right", "wrong"),
    [
        (driver_module, "self._learn(group, by_bag)", "self._learn(group, False)"),
        (driver_module, "self._learn([batch], by_bag)", "self._learn([batch], False)"),
        (driver_module, "relearn=relearn and not by_bag", "relearn=relearn"),
        (follow, "select_every=options.select_every, by_bag=options.by_bag", "select_every=options.select_every"),
        (follow, "relearn=self.learned, by_bag=options.by_bag", "relearn=self.learned"),
    ],
)
def test_a_driver_that_does_not_pass_it_on_is_caught(
    place: Any, right: str, wrong: str, log: ClickLog, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    if place is driver_module:
        monkeypatch.setattr("hotline_host.experiments.split.Driver", mutated(driver_module.Driver, right, wrong))
    else:
        broken = mutated(follow.Follower, right, wrong)
        monkeypatch.setattr("hotline_host.experiments.split.Follower", broken)
        namespace = broken.split.__globals__
        monkeypatch.setattr("hotline_host.experiments.split.learn", namespace["learn"])
    watch = Watch()
    with watch.patch:
        run("split", log, "bag", tmp_path)
    with pytest.raises(AssertionError):
        watch.check(by_bag=True)


class Reached(Exception):
    pass


COMMANDS = {
    "cosim": ("hotline_host.experiments.cosim.cosim", []),
    "split": ("hotline_host.experiments.split.split_log", []),
    "record": ("hotline_host.experiments.record.record_log", ["--out", "r.npz"]),
}


@pytest.mark.parametrize("learn_by", ["bag", "sample"])
@pytest.mark.parametrize("command", COMMANDS)
def test_the_commands_hand_it_over(
    command: str, learn_by: str, log: ClickLog, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    target, more = COMMANDS[command]
    monkeypatch.chdir(tmp_path)
    np.savez(tmp_path / "log.npz", indices=log.indices, lengths=log.lengths, dense=log.dense, label=log.label)
    with mock.patch(target, side_effect=Reached) as reached:
        CliRunner().invoke(app, [command, "--data", "npz:log.npz", "--backend", "model", "--preset", "tiny",
                                 "--learn-by", learn_by, *more])  # fmt: skip
    (settings,) = [each for each in reached.call_args.args if isinstance(each, Settings)]
    assert settings.learn_by == learn_by and settings.follow().by_bag == (learn_by == "bag")


@pytest.mark.parametrize(("config", "by_bag"), [("multihot", True), ("kaggle", False)])
def test_the_benchmark_hands_it_over(config: str, by_bag: bool, log: ClickLog) -> None:
    setup = rivals._setup(RivalSettings(config=config), log, 8, torch.device("cpu"), TINY, "model")
    assert setup.accelerator and setup.accelerator.follow.by_bag == by_bag
