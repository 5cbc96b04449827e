"""What orders a GPU's work: every access to memory is ordered by events, and a step makes the host wait nowhere."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hotline_host.pipelines import ahead
from hotline_host.training.link import CudaLink, HostLink, link_to
from hotline_host.training.pool import EmbeddingPool
from hotline_host.training.pool_trainer import PoolTrainer
from tests.support import fake_link
from tests.support.at_once import AtOnce
from tests.support.fake_link import FakeCuda, FakeLink, NoWaiting
from tests.support.gathering_runs import Run, train

STEPS = 20
SPLITTING = pytest.mark.parametrize("name", ["hotline", "hotline-split", "lru", "zero-copy", "static", "resident"])


@pytest.fixture
def cuda(monkeypatch) -> FakeCuda:
    monkeypatch.setattr(ahead, "ThreadPoolExecutor", AtOnce)
    return fake_link.install(monkeypatch)


def run(name: str, **options: object) -> Run:
    return train(name, by_host=True, steps=STEPS, learned=3, **options)


@SPLITTING
@pytest.mark.parametrize("multi_hot", [False, True], ids=["one_hot", "multi_hot"])
def test_events_order_every_access(cuda: FakeCuda, name: str, multi_hot: bool) -> None:
    """Device memory is apart from host memory here, and the result is that of ordinary training all the same."""
    done = run(name, multi_hot=multi_hot)
    assert not cuda.races, cuda.races[:5]
    assert cuda.accesses > 10_000 and len(cuda.streams) == 4
    expected = run("ordinary", multi_hot=multi_hot)
    np.testing.assert_allclose(done.losses, expected.losses, rtol=0, atol=1e-12)
    for (what, x), (_, y) in zip(done.trainer.parameters(), expected.trainer.parameters(), strict=True):
        np.testing.assert_allclose(x, y, rtol=0, atol=1e-12, err_msg=what)
    link = done.trainer.link
    assert link.bytes_in > 0 and (link.bytes_out > 0) == (name != "resident")


def test_with_threads_and_memory_apart(monkeypatch) -> None:
    """As it runs on a GPU. Clocks mean nothing here, but values do."""
    fake_link.install(monkeypatch)
    done, expected = run("hotline", check=True), run("ordinary")
    np.testing.assert_allclose(done.losses, expected.losses, rtol=0, atol=1e-12)


# Each event is needed


def _does_not_wait_for(event: str):
    """`CudaLink` without one of its waits of a stream."""

    def change(patch: pytest.MonkeyPatch) -> None:
        wait_event = fake_link.Actor.wait_event
        init = CudaLink.__init__

        def watched(self, device):
            init(self, device)
            for each in getattr(self, event):
                each.skipped = True

        def wait(self, event):
            if not getattr(event, "skipped", False):
                wait_event(self, event)

        patch.setattr(CudaLink, "__init__", watched)
        patch.setattr(fake_link.Actor, "wait_event", wait)

    change.__name__ = event
    return change


def _nothing_is_awaited(method: str):
    """`CudaLink` without one of the waits of the host."""

    def change(patch: pytest.MonkeyPatch) -> None:
        patch.setattr(CudaLink, method, lambda self, half: None)

    change.__name__ = method
    return change


@pytest.mark.parametrize(
    ("change", "name"),
    [
        (_does_not_wait_for("_copied"), "hotline"), (_does_not_wait_for("_computed"), "hotline"),
        (_does_not_wait_for("_moved"), "hotline"), (_does_not_wait_for("_moved"), "lru"),
        (_does_not_wait_for("_copied"), "hotline-split"), (_nothing_is_awaited("sent"), "hotline"),
        (_nothing_is_awaited("returned"), "hotline"), (_nothing_is_awaited("returned"), "zero-copy"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.__name__.strip("_"),
)  # fmt: skip
def test_without_one_event_there_is_a_race(monkeypatch, cuda: FakeCuda, change, name: str) -> None:
    change(monkeypatch)
    run(name)
    assert cuda.races


# The host waits nowhere in a step


@SPLITTING
@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_a_step_does_not_wait_for_the_device(monkeypatch, cuda: FakeCuda, name: str, optimizer: str) -> None:
    operations = 0

    def watched(launch):
        def watch(self, plan):
            nonlocal operations
            with monkeypatch.context() as patch:
                for what in ("from_numpy", "tensor", "as_tensor"):
                    patch.setattr(torch, what, _refuse(what))
                for what in ("cpu", "item", "tolist", "__bool__", "__float__", "__int__"):
                    patch.setattr(torch.Tensor, what, _refuse(what))
                patch.setattr(CudaLink, "synchronize", _refuse("synchronize"))
                patch.setattr(fake_link.Event, "synchronize", _refuse("synchronize"))
                mode = NoWaiting(self.link)
                with mode:
                    launch(self, plan)
                operations += mode.operations

        return watch

    monkeypatch.setattr(FakeCuda, "on_device", lambda *_, **__: None)  # it looks at values
    for method in ("launch_popular", "launch_rest"):
        monkeypatch.setattr(PoolTrainer, method, watched(getattr(PoolTrainer, method)))
    losses = run(name, optimizer=optimizer).losses
    assert np.isfinite(losses).all() and operations > 50 * STEPS


def _refuse(what: str):
    def refused(*_: object, **__: object) -> None:
        raise AssertionError(f"{what}: the host would wait for the device")

    return refused


@pytest.mark.parametrize(
    "wrong",
    [
        lambda link, device, pinned: device.sum().item(),
        lambda link, device, pinned: device.nonzero(),
        lambda link, device, pinned: device[device > 0],
        lambda link, device, pinned: device.copy_(pinned),
        lambda link, device, pinned: pinned + 1,
        lambda link, device, pinned: link.copy_in(device, torch.ones(3)),
        lambda link, device, pinned: link.copy_out(torch.ones(3), device),
        lambda link, device, pinned: link.copy_in(pinned, pinned.clone()),
    ],
)
def test_waiting_is_seen(cuda: FakeCuda, wrong) -> None:
    link = FakeLink(cuda)
    pinned = link.host_buffer(3, dtype=torch.float32).fill_(1)
    device = link.device_buffer(pinned)
    with NoWaiting(link):
        link.copy_in(device, pinned)
        link.copy_out(pinned[:2], device[:2] + 1)
        with pytest.raises(AssertionError):
            wrong(link, device, pinned)


# The links themselves


def test_memory_of_the_host_is_shared() -> None:
    link = link_to(torch.device("cpu"))
    buffer = link.host_buffer(2, 3, dtype=torch.float64)
    assert isinstance(link, HostLink) and link.shares_memory and not CudaLink.shares_memory
    assert buffer.shape == (2, 3) and buffer.dtype == torch.float64
    assert link.device_buffer(buffer).data_ptr() == buffer.data_ptr()
    link.copy_in(buffer, torch.ones(2, 3, dtype=torch.float64))
    assert (buffer == 1).all() and link.bytes_in == 0, "nothing goes over a link"


def test_rows_on_their_way_back_need_no_memory_of_their_own_where_it_is_shared(cuda: FakeCuda, monkeypatch) -> None:
    apart = run("zero-copy").trainer.pool
    monkeypatch.undo()
    shared = run("zero-copy").trainer.pool
    for pool, same in ((apart, False), (shared, True)):
        assert isinstance(pool, EmbeddingPool)
        assert (pool._returned[1].data_ptr() == pool._half(1).data_ptr()) == same
