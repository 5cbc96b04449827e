"""The order in which batches are used: what breaks it is an error that says what to do, and leaves nothing behind."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import count

import numpy as np
import pytest
import torch

import hotline
from hotline_host.errors import DataError, SettingsError
from tests.support.collections_of_bags import (
    ALL_KINDS,
    EXACT,
    ONE_D,
    Jagged,
    batches,
    check_equal,
    collection,
    loss_of,
    train,
)  # fmt: skip
from tests.support.reference_bags import sgd, twin

ACCELERATED = pytest.mark.parametrize("accelerator", ["model", None])
NAMES = ("split", "plan", "pack", "gather")


def threads() -> int:
    """Threads of a prefetch."""
    return sum(thread.name.startswith(NAMES) for thread in threading.enumerate())


def loop(emb: hotline.EmbeddingBagCollection, loader: Iterable[Jagged], step: Callable[[Jagged], object]) -> None:
    for features in hotline.prefetch(loader, emb):
        step(features)


@pytest.fixture(autouse=True)
def no_thread_is_left() -> Iterator[None]:
    before = threads()
    yield
    assert threads() == before


@ACCELERATED
@pytest.mark.parametrize("depth", [1, 2, 3, 7])
def test_any_iterable_and_depth(accelerator: str | None, depth: int) -> None:
    emb = collection(ONE_D, accelerator=accelerator)
    reference = twin(emb, sgd(0.5))
    data = [(features, number) for number, features in enumerate(batches(ONE_D, 12))]
    expected = train(reference, batches(ONE_D, 12))
    seen, losses = [], []
    for features, number in hotline.prefetch(iter(data), emb, depth=depth):
        losses += train(emb, [features])
        seen.append((features, number))
    np.testing.assert_allclose(losses, expected, **EXACT)
    assert all(one[0] is other[0] for one, other in zip(seen, data, strict=True)), "the batches are unchanged"


def test_how_many_batches_are_taken_ahead() -> None:
    """The accelerator gathers the rows of no batch but the one that it split last; the host gathers any."""

    def taken_at_the_third(tables: list, depth: int) -> int:
        taken = 0

        def loader() -> Iterator[Jagged]:
            nonlocal taken
            for features in batches(tables, 20):
                taken += 1
                yield features

        emb, counts = collection(tables), []
        for features in hotline.prefetch(loader(), emb, depth=depth):
            counts.append(taken)
            loss_of(emb(features)).backward()
        assert len(counts) == 20
        return counts[2]

    assert [taken_at_the_third(ONE_D, depth) for depth in (1, 2, 6)] == [3, 4, 4]
    assert [taken_at_the_third(ALL_KINDS, depth) for depth in (1, 2, 6)] == [3, 4, 8]


def test_a_data_loader() -> None:
    emb = collection(ONE_D)
    loader = torch.utils.data.DataLoader(list(batches(ONE_D, 6)), batch_size=None)
    assert len(train(emb, hotline.prefetch(loader, emb))) == 6


@ACCELERATED
@pytest.mark.parametrize("forward", [True, False])
def test_a_loop_that_is_left_can_be_followed_by_another(accelerator: str | None, forward: bool) -> None:
    """Of a stream without end. Mini-batches that were prepared ahead are given up, and their rows stay as they are."""

    def endless() -> Iterator[Jagged]:
        for seed in count():
            yield from batches(ONE_D, 5, seed=seed)

    emb = collection(ONE_D, accelerator=accelerator)
    reference = twin(emb, sgd(0.5))
    for _ in range(4):
        for number, (features, other) in enumerate(zip(hotline.prefetch(endless(), emb), endless(), strict=False)):
            if number == 7:
                if forward:
                    emb(features)
                break
            np.testing.assert_allclose(train(emb, [features]), train(reference, [other]), **EXACT)
        check_equal(emb, reference, EXACT)


@ACCELERATED
def test_a_collection_that_is_closed_inside_of_the_loop(accelerator: str | None) -> None:
    """What was prepared ahead is given up first, so that no thread uses an accelerator that is closed."""
    emb = collection(ONE_D, accelerator=accelerator)
    reference = twin(emb, sgd(0.5))
    coming = hotline.prefetch(batches(ONE_D, 9), emb)
    for number, features in enumerate(coming):
        if number == 4:
            emb.close()
            break
        train(emb, [features])
    train(reference, list(batches(ONE_D, 9))[:4])
    assert not threads()
    coming.close()  # type: ignore[attr-defined]
    check_equal(emb, reference, EXACT)


@ACCELERATED
def test_a_loader_that_fails_in_the_middle(accelerator: str | None) -> None:
    def failing() -> Iterator[Jagged]:
        yield from batches(ONE_D, 6)
        raise OSError("the disk is gone")

    emb = collection(ONE_D, accelerator=accelerator)
    reference = twin(emb, sgd(0.5))
    losses: list[float] = []
    with pytest.raises(OSError, match="the disk is gone"):
        loop(emb, failing(), lambda features: losses.extend(train(emb, [features])))
    np.testing.assert_allclose(losses, train(reference, batches(ONE_D, 6)), **EXACT)
    check_equal(emb, reference, EXACT)


def test_an_error_in_the_loop_leaves_the_rows_usable() -> None:
    emb = collection(ONE_D)
    reference = twin(emb, sgd(0.5))
    train(reference, [next(batches(ONE_D, 1))])
    losses: list[float] = []

    def step(features: Jagged) -> None:
        loss = loss_of(emb(features))
        losses.append(1 / (1 - len(losses)))
        loss.backward()

    with pytest.raises(ZeroDivisionError):
        loop(emb, batches(ONE_D, 6), step)
    check_equal(emb, reference, EXACT)
    np.testing.assert_allclose(
        train(emb, hotline.prefetch(batches(ONE_D, 6), emb)), train(reference, batches(ONE_D, 6)), **EXACT
    )


def test_training_without_prefetch() -> None:
    emb = collection(ONE_D)
    with pytest.raises(hotline.OrderError, match=r"come from hotline.prefetch\(loader, emb\).*call emb.eval\(\)"):
        emb(next(batches(ONE_D, 1)))


def test_a_batch_that_is_not_trained_on() -> None:
    emb = collection(ONE_D)
    with pytest.raises(hotline.OrderError, match="no forward pass ran in training mode for the batch"):
        loop(emb, batches(ONE_D, 3), lambda features: None)
    with pytest.raises(hotline.OrderError, match="no backward pass ran for the batch"):
        loop(emb, batches(ONE_D, 3), emb)


def test_a_batch_that_is_skipped() -> None:
    emb = collection(ONE_D)
    reference = twin(emb, sgd(0.5))
    with pytest.raises(hotline.OrderError, match="there is no batch to skip"):
        emb.skip()
    for number, features in enumerate(hotline.prefetch(batches(ONE_D, 9), emb)):
        if number % 3 == 1:
            if number == 4:
                emb(features)
            emb.skip()
        else:
            train(emb, [features])
    train(reference, [features for number, features in enumerate(batches(ONE_D, 9)) if number % 3 != 1])
    check_equal(emb, reference, EXACT)


def test_a_batch_that_is_used_twice() -> None:
    emb = collection(ONE_D)
    with pytest.raises(hotline.OrderError, match="the batch was used already"):
        loop(emb, batches(ONE_D, 3), lambda features: train(emb, [features, features]))

    def twice(features: Jagged) -> None:
        loss = loss_of(emb(features))
        loss.backward(retain_graph=True)
        loss.backward()

    with pytest.raises(hotline.OrderError, match="backward pass of a batch has run already"):
        loop(emb, batches(ONE_D, 3), twice)


def test_another_batch_than_the_one_that_was_yielded() -> None:
    emb = collection(ONE_D)
    given = list(batches(ONE_D, 3))
    with pytest.raises(hotline.OrderError, match="not those of the batch that prefetch yielded last"):
        loop(emb, given, lambda _: emb(given[1]))
    for features in hotline.prefetch(given, emb):
        train(emb, [features.to("cpu")])  # another object with the same lookups is the batch


def test_two_loops_at_a_time() -> None:
    emb = collection(ONE_D)
    for features in hotline.prefetch(batches(ONE_D, 2), emb):
        with pytest.raises(hotline.OrderError, match="prefetched for another loop"):
            next(hotline.prefetch(batches(ONE_D, 2), emb))
        with pytest.raises(hotline.OrderError, match="cannot be loaded inside of the loop"):
            emb.load_weights(emb.weights())
        train(emb, [features])


def test_training_without_gradients_and_reading_within_a_step() -> None:
    emb = collection(ONE_D)
    for features in hotline.prefetch(batches(ONE_D, 2), emb):
        with torch.no_grad(), pytest.raises(hotline.OrderError, match="gradients are disabled"):
            emb(features)
        loss = loss_of(emb(features))
        with pytest.raises(hotline.OrderError, match="between the forward and the backward pass"):
            emb.eval()(features)
        emb.train()
        loss.backward()


def test_settings_of_prefetch() -> None:
    emb = collection(ONE_D)
    with pytest.raises(SettingsError, match="depth is 0; it must be at least 1"):
        hotline.prefetch([], emb, depth=0)
    with pytest.raises(SettingsError, match="a batch is a list with 0 KeyedJaggedTensors or dict"):
        next(hotline.prefetch([[1, 2]], emb))
    with pytest.raises(DataError, match=r"feature a is a int; it must be rows \[B\] or \[B, L\], or a pair"):
        next(hotline.prefetch([{"a": 1}], emb))
    with pytest.raises(DataError, match="features is a int; it must be a KeyedJaggedTensor or a dictionary of rows"):
        next(hotline.prefetch([1], emb, key=lambda batch: batch))
    assert list(hotline.prefetch([], emb)) == []
