"""EmbeddingBagCollection against `nn.EmbeddingBag`: every kind of table, optimizer, batch and accelerator."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import hotline
from hotline_host.errors import DataError, SettingsError
from tests.support.collections_of_bags import (
    ALL_KINDS,
    EXACT,
    ONE_D,
    SUMS,
    B,
    Config,
    Jagged,
    batches,
    check_equal,
    collection,
    loss_of,
    train,
)  # fmt: skip
from tests.support.reference_bags import Rule, rowwise_adagrad, sgd, torchs, twin

ACCELERATED = pytest.mark.parametrize("accelerator", ["model", None])


@ACCELERATED
@pytest.mark.parametrize("tables", [ONE_D, ALL_KINDS], ids=["one D", "all kinds"])
@pytest.mark.parametrize(
    ("optimizer", "rule"),
    [
        (hotline.SGD, sgd(0.5)),
        (hotline.RowwiseAdagrad, rowwise_adagrad(0.5, 1e-3)),
        (hotline.Adagrad, torchs(lambda weights: torch.optim.Adagrad(weights, lr=0.5))),
    ],
    ids=["SGD", "RowwiseAdagrad", "Adagrad"],
)
def test_training_is_that_of_embedding_bags(
    accelerator: str | None, tables: list[Config], optimizer, rule: Rule
) -> None:
    emb = collection(tables, accelerator=accelerator, optimizer=optimizer(0.5))
    reference = twin(emb, rule)
    losses = train(emb, hotline.prefetch(batches(tables, 25), emb))
    np.testing.assert_allclose(losses, train(reference, batches(tables, 25)), **EXACT)
    assert len(losses) == 25
    check_equal(emb, reference, EXACT)


@ACCELERATED
def test_adam_is_torchs_sparse_adam(accelerator: str | None) -> None:
    emb = collection(ALL_KINDS, accelerator=accelerator, optimizer=hotline.Adam(0.1))
    reference = twin(emb, torchs(lambda weights: torch.optim.SparseAdam(weights, lr=0.1)), sparse=True)
    losses = train(emb, hotline.prefetch(batches(ALL_KINDS, 25), emb))
    np.testing.assert_allclose(losses, train(reference, batches(ALL_KINDS, 25)), **EXACT)
    check_equal(emb, reference, EXACT)


@ACCELERATED
@pytest.mark.parametrize(
    ("optimizer", "rule"),
    [
        (hotline.SGD, torchs(lambda weights: torch.optim.SGD(weights, lr=0.5))),
        (hotline.RowwiseAdagrad, rowwise_adagrad(0.5, 1e-3)),
        (hotline.Adagrad, torchs(lambda weights: torch.optim.Adagrad(weights, lr=0.5))),
    ],
    ids=["SGD", "RowwiseAdagrad", "Adagrad"],
)
def test_float32_is_bit_for_bit_where_sums_have_one_order(accelerator: str | None, optimizer, rule: Rule) -> None:
    """No row is looked up more than twice in a mini-batch, and a + b is b + a."""
    tables = [Config(name="a", num_embeddings=100, embedding_dim=12, feature_names=["a", "b"])]
    emb = collection(tables, accelerator=accelerator, optimizer=optimizer(0.5), dtype=torch.float32)
    reference = twin(emb, rule)
    random = torch.Generator().manual_seed(1)

    def feed() -> list[Jagged]:
        random.manual_seed(1)
        return [
            Jagged.from_dict({name: torch.randperm(100, generator=random)[:20] for name in "ab"}) for _ in range(20)
        ]

    assert train(emb, hotline.prefetch(feed(), emb)) == train(reference, feed())
    check_equal(emb, reference, {"rtol": 0, "atol": 0})


@ACCELERATED
def test_weights_of_lookups_and_their_gradients(accelerator: str | None) -> None:
    emb = collection(SUMS, accelerator=accelerator, optimizer=hotline.RowwiseAdagrad(0.5))
    reference = twin(emb, rowwise_adagrad(0.5, 1e-3))
    feeds = [list(batches(SUMS, 12, weighted=True)) for _ in range(2)]
    for feed in feeds:
        for features in feed:
            features.weights_or_none().requires_grad_()
    np.testing.assert_allclose(train(emb, hotline.prefetch(feeds[0], emb)), train(reference, feeds[1]), **EXACT)
    check_equal(emb, reference, EXACT)
    for one, other in zip(*feeds, strict=True):
        torch.testing.assert_close(one.weights_or_none().grad, other.weights_or_none().grad, **EXACT)


@ACCELERATED
def test_gradients_of_several_batches_before_one_update(accelerator: str | None) -> None:
    """14 batches are 4 updates of three, and one of the two that are left, which the reference does without."""
    emb = collection(ALL_KINDS, accelerator=accelerator, accumulate=3, optimizer=hotline.RowwiseAdagrad(0.5))
    reference = twin(emb, rowwise_adagrad(0.5, 1e-3), accumulate=3)
    losses = train(emb, hotline.prefetch(batches(ALL_KINDS, 14), emb), accumulate=3)
    np.testing.assert_allclose(losses, train(reference, batches(ALL_KINDS, 14), accumulate=3), **EXACT)
    emb = collection(ALL_KINDS, accelerator=accelerator, accumulate=3, optimizer=hotline.RowwiseAdagrad(0.5))
    train(emb, hotline.prefetch(batches(ALL_KINDS, 12), emb), accumulate=3)
    check_equal(emb, reference, EXACT)


@ACCELERATED
def test_evaluation_reads_any_row_and_changes_nothing(accelerator: str | None) -> None:
    emb = collection(ALL_KINDS, accelerator=accelerator)
    reference = twin(emb, sgd(0.5))
    expected = train(reference, batches(ALL_KINDS, 20))
    other = list(batches(ALL_KINDS, 3, seed=9))
    losses = []
    for step, features in enumerate(hotline.prefetch(batches(ALL_KINDS, 20), emb)):
        if step % 6 == 2:  # inside of the loop, with mini-batches prepared ahead
            emb.eval()
            state = emb._rows.hot_keys.copy()
            read = emb(other[0])
            assert torch.equal(loss_of(read), loss_of(emb(other[0]))) and not loss_of(read).requires_grad
            np.testing.assert_array_equal(emb._rows.hot_keys, state)
            emb.train()
        losses += train(emb, [features])
    np.testing.assert_allclose(losses, expected, **EXACT)
    emb.eval()
    for features in other:
        torch.testing.assert_close(loss_of(emb(features)), loss_of(reference(features)).detach(), **EXACT)
    check_equal(emb, reference, EXACT)


def test_autocast_computes_the_model_in_bfloat16_and_keeps_rows_as_they_are() -> None:
    emb = collection(ONE_D, dtype=torch.float32)
    reference = twin(emb, sgd(0.5))
    layers = [nn.Linear(16, 1) for _ in range(2)]
    layers[1].load_state_dict(layers[0].state_dict())
    losses: list[list[float]] = [[], []]
    for number, (model, feed) in enumerate(
        [(emb, hotline.prefetch(batches(ONE_D, 15), emb)), (reference, batches(ONE_D, 15))]
    ):
        for features in feed:
            with torch.autocast("cpu", torch.bfloat16):
                pooled = model(features).values()
                assert pooled.dtype == torch.float32
                out = layers[number](pooled)
            assert out.dtype == torch.bfloat16
            loss = (out.float() ** 2).mean()
            loss.backward()
            losses[number].append(loss.item())
    np.testing.assert_allclose(*losses, rtol=0, atol=1e-5)
    check_equal(emb, reference, {"rtol": 0, "atol": 1e-5})


@ACCELERATED
def test_a_schedule_of_the_learning_rate(accelerator: str | None) -> None:
    """A scheduler of torch writes the tensor that dense parameters and rows share."""
    rate = torch.tensor(0.5, dtype=torch.float64)
    emb = collection(ONE_D, accelerator=accelerator, optimizer=hotline.SGD(rate))
    reference = twin(emb, lambda weight, state: weight.add_(weight.grad, alpha=-reference_rate))
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=rate)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, 3, gamma=0.5)
    for step, (features, other) in enumerate(
        zip(hotline.prefetch(batches(ONE_D, 12), emb), batches(ONE_D, 12), strict=True)
    ):
        reference_rate = 0.5 * 0.5 ** (step // 3)
        assert float(emb.rate) == reference_rate
        np.testing.assert_allclose(train(emb, [features]), train(reference, [other]), **EXACT)
        optimizer.step()
        schedule.step()
    check_equal(emb, reference, EXACT)


def test_mini_batches_may_grow_and_be_empty() -> None:
    def feed() -> Iterator[Jagged]:
        for samples, most in ((4, 3), (2, 1), (40, 2), (3, 4), (100, 3), (1, 2), (100, 4)):
            yield from batches(ALL_KINDS, 2, samples=samples, most=most)
        names = [name for table in ALL_KINDS for name in table.feature_names]
        yield Jagged(names, torch.empty(0, dtype=torch.int64), torch.zeros(3 * len(names), dtype=torch.int64))
        yield from batches(ALL_KINDS, 2)

    emb = collection(ALL_KINDS)
    reference = twin(emb, sgd(0.5))
    losses = train(emb, hotline.prefetch(feed(), emb))
    np.testing.assert_allclose(losses, train(reference, feed()), **EXACT)
    check_equal(emb, reference, EXACT)


def test_tables_of_torchrecs_form() -> None:
    """By duck typing: a class of another name, with offsets and without lengths."""

    class Others:
        def __init__(self, of: Jagged) -> None:
            self.keys, self.values, self.offsets = of.keys, of.values, of.offsets

    emb = collection(ONE_D)
    reference = twin(emb, sgd(0.5))
    expected = train(reference, batches(ONE_D, 8))
    losses = train(emb, hotline.prefetch(map(Others, batches(ONE_D, 8)), emb))
    np.testing.assert_allclose(losses, expected, **EXACT)


def test_rows_are_no_parameters_and_can_be_taken_and_given() -> None:
    emb, other = collection(ALL_KINDS), collection(ALL_KINDS, seed=8, accelerator=None)
    assert not list(emb.parameters())
    assert [*emb.weights()] == ["narrow", "middle", "wide", "wide too"]
    assert not torch.equal(emb.weights()["wide"], other.weights()["wide"])
    other.load_weights(emb.weights())
    check_equal(other, twin(emb, sgd(0.5)), {"rtol": 0, "atol": 0})
    with pytest.raises(SettingsError, match=r"rows of table narrow: missing; it must be \[40, 2\]"):
        other.load_weights({})


@pytest.mark.parametrize(("earlier", "later"), [("model", "model"), ("model", None), (None, "model")])
@pytest.mark.parametrize("optimizer", [hotline.Adam, hotline.RowwiseAdagrad])
def test_a_model_is_saved_and_goes_on(earlier: str | None, later: str | None, optimizer) -> None:
    """With `state_dict`, as any model; whatever the accelerator was."""
    feed = list(batches(ALL_KINDS, 24))
    reference = collection(ALL_KINDS, accelerator=None, optimizer=optimizer(0.1))
    expected = train(reference, hotline.prefetch(feed, reference))

    first = nn.ModuleDict({"emb": collection(ALL_KINDS, accelerator=earlier, optimizer=optimizer(0.1))})
    losses = train(first["emb"], hotline.prefetch(feed[:12], first["emb"]))
    file = io.BytesIO()
    torch.save(first.state_dict(), file)
    file.seek(0)
    train(first["emb"], hotline.prefetch(feed[:3], first["emb"]))  # the checkpoint is a copy

    second = nn.ModuleDict({"emb": collection(ALL_KINDS, accelerator=later, optimizer=optimizer(0.7), seed=11)})
    train(second["emb"], hotline.prefetch(feed[:5], second["emb"]))
    second.load_state_dict(torch.load(file, weights_only=False))
    assert float(second["emb"].rate) == 0.1
    losses += train(second["emb"], hotline.prefetch(feed[12:], second["emb"]))
    np.testing.assert_allclose(losses, expected, **EXACT)
    other = collection(ONE_D)
    with pytest.raises(SettingsError, match="rows of table a: missing"):
        other.set_extra_state(second["emb"].get_extra_state())


@pytest.mark.parametrize("tables", [ONE_D, ALL_KINDS], ids=["one D", "several D"])
def test_rows_in_files_that_are_drawn_when_they_are_needed(tables: list[Config], tmp_path: Path) -> None:
    feed = list(batches(tables, 12))
    plain, lazy = collection(tables), collection(tables, folder=tmp_path, lazy=True)
    expected = train(plain, hotline.prefetch(feed, plain))
    assert train(lazy, hotline.prefetch(feed, lazy)) == expected
    for name, weight in plain.weights().items():
        assert torch.equal(lazy.weights()[name], weight), name
    later = collection(tables, folder=tmp_path, lazy=True, seed=12)
    later.set_extra_state(lazy.get_extra_state())
    for features in feed[:3]:
        assert loss_of(later.eval()(features)) == loss_of(plain.eval()(features))


def test_rows_on_the_device_are_in_no_file(tmp_path: Path) -> None:
    for options in ({"folder": tmp_path}, {"lazy": True}):
        with pytest.raises(SettingsError, match="without an accelerator all rows are on the device"):
            collection(ONE_D, accelerator=None, **options)
    with pytest.raises(SettingsError, match="float16 with lazy"):
        collection(ONE_D, lazy=True, dtype=torch.float16)


def test_without_an_accelerator_every_row_is_there_once() -> None:
    emb = collection(ALL_KINDS, accelerator=None, optimizer=hotline.Adagrad(0.1))
    numbers = sum(2 * table.num_embeddings * table.embedding_dim for table in ALL_KINDS)
    assert emb._rows.device_bytes == 8 * numbers
    assert all(pool.cold.data_ptr() == pool.rows.data_ptr() for pool in emb._rows.pools)


def test_hot_bytes() -> None:
    emb = collection(SUMS, hot_rows=None, hot_bytes=3000, optimizer=hotline.Adagrad(0.1))
    assert emb._rows.shape.hot_rows == 3000 // (8 * (4 + 6) * 2)
    with pytest.raises(SettingsError, match="hot_rows and hot_bytes are both given"):
        collection(SUMS, hot_bytes=3000)


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ([], "tables is empty"),
        ([ONE_D[0], ONE_D[0]], "table a is given twice"),
        ([Config(name="x", num_embeddings=3, embedding_dim=2, feature_names=["f", "f"])], "feature f is given twice"),
    ],
)
def test_tables_that_make_no_sense(tables: list[Config], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        collection(tables)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"num_embeddings": 0}, "table x: num_embeddings is 0"),
        ({"embedding_dim": -1}, "table x: embedding_dim is -1"),
        ({"feature_names": "f"}, "table x: feature_names is 'f'; it must be a list"),
        ({"pooling": "max"}, "table x: pooling is 'max'"),
    ],
)
def test_a_config_that_makes_no_sense(change: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        Config(**{"name": "x", "num_embeddings": 3, "embedding_dim": 2, "feature_names": ["f"]} | change)


@ACCELERATED
@pytest.mark.parametrize("training", [True, False])
def test_a_row_beyond_its_table_is_named(accelerator: str | None, training: bool) -> None:
    emb = collection(ONE_D, accelerator=accelerator).train(training)
    reference = twin(emb, sgd(0.5))
    good, bad = list(batches(ONE_D, 3)), next(batches(ONE_D, 1, most=1))
    bad.values()[bad.keys().index("b2") * B + 5] = 7
    with pytest.raises(DataError, match="feature b2 of sample 5 looks up row 7 of table b, which has 7 rows"):
        train(emb, hotline.prefetch([*good, bad, *good], emb)) if training else emb(bad)
    if training:  # what came before it was trained on, and training goes on
        emb.train()
        train(reference, [*good, *good])
        train(emb, hotline.prefetch(good, emb))
        check_equal(emb, reference, EXACT)
    lacking = Jagged.from_dict({"a": torch.zeros(2, dtype=torch.int64)})
    with pytest.raises(DataError, match="lacks the feature b1; it has a"):
        emb.eval()(lacking)
