"""What all trainers share: learning rates and autocast."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from hotline_host.data.log import Batch
from hotline_host.training.dlrm import ModelConfig
from hotline_host.training.inputs import StepSize
from hotline_host.training.ordinary import OrdinaryTrainer
from hotline_host.training.trainer import TrainConfig

ROWS = np.array([40, 7, 300])
SAMPLES, FEATURES = 64, 4
CONFIG = TrainConfig(ModelConfig(dimension=8, bottom=(16,), top=(16, 8)), FEATURES, "adagrad", rate=0.05)


def batch(seed: int) -> Batch:
    rng = np.random.default_rng(seed)
    indices = (np.tile(ROWS, SAMPLES) * rng.random(SAMPLES * len(ROWS)) ** 3).astype(np.int64)
    dense = rng.standard_normal((SAMPLES, FEATURES)).astype(np.float32)
    return Batch(indices, np.ones((SAMPLES, len(ROWS)), np.int64), dense, (dense[:, 0] > 0.3).astype(np.float32))


def trainer(**changes: object) -> OrdinaryTrainer:
    size = StepSize(SAMPLES, SAMPLES * len(ROWS), len(ROWS), FEATURES, 0)
    return OrdinaryTrainer(replace(CONFIG, **changes), ROWS, size)


def train(each: OrdinaryTrainer, steps: int = 30) -> np.ndarray:
    """The losses."""
    for seed in range(steps):
        each.step(each.pack(batch(seed)))
    return each.losses()


def test_autocast_trains_as_well_and_keeps_float32() -> None:
    """bfloat16 has 8 bits of mantissa: losses differ by some thousandths at first, and drift apart from there."""
    exact, rough = trainer(), trainer(autocast=True)
    losses, others = train(exact), train(rough)
    np.testing.assert_allclose(others[:5], losses[:5], atol=0.02)
    assert np.abs(others[:5] - losses[:5]).max() > 1e-5
    assert others[-5:].mean() < 0.6 * others[0] and losses[-5:].mean() < 0.6 * losses[0]
    for _, parameter in rough.parameters():
        assert parameter.dtype == torch.float32 and parameter.isfinite().all()

    exact.load_state_dict(rough.state_dict())
    predictions = [each.predict(batch(99)) for each in (exact, rough)]
    np.testing.assert_allclose(predictions[1], predictions[0], atol=0.2)
    assert not np.array_equal(*predictions)


def test_the_model_computes_in_bfloat16_and_the_loss_does_not() -> None:
    each, seen = trainer(autocast=True), []
    each.model.top[0].register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    each.model.top.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    train(each, 1)
    assert seen == [torch.bfloat16] * 2
    pooled, dense = torch.ones(3 * len(ROWS), 8), torch.zeros(3, FEATURES)
    loss, gradient = each._backward(dense, torch.ones(3), pooled, 3)
    assert loss.dtype == gradient.dtype == torch.float32 and gradient.any()


def test_autocast_needs_float32() -> None:
    size = StepSize(SAMPLES, SAMPLES * len(ROWS), len(ROWS), FEATURES, 0)
    with pytest.raises(ValueError, match="autocast is on and dtype is torch.float64; with autocast it must be"):
        OrdinaryTrainer(replace(CONFIG, autocast=True), ROWS, size, dtype=torch.float64)


@pytest.mark.parametrize("optimizer", ["sgd", "adagrad"])
def test_a_rate_of_zero_stops_dense_parameters_and_rows(optimizer: str) -> None:
    each = trainer(optimizer=optimizer)
    train(each, 2)

    def values() -> list[torch.Tensor]:
        return [value.clone() for name, value in each.parameters() if not name.endswith((" sum", " accumulators"))]

    before = values()
    each.set_rate(0.0)
    train(each, 2)
    assert all(torch.equal(a, b) for a, b in zip(values(), before, strict=True))
    each.set_rate(0.1)
    train(each, 1)
    assert not any(torch.equal(a, b) for a, b in zip(values(), before, strict=True))


def test_a_schedule_reaches_the_rows_and_a_checkpoint_keeps_the_rate() -> None:
    each, other = trainer(), trainer()
    schedule = torch.optim.lr_scheduler.StepLR(each.dense_optimizer, 1, gamma=0.1)
    train(each, 1)
    schedule.step()
    assert float(each.row_optimizer.rate) == float(each.dense_optimizer.param_groups[0]["lr"]) == pytest.approx(0.005)
    other.load_state_dict(each.state_dict())
    assert float(other.row_optimizer.rate) == float(other.dense_optimizer.param_groups[0]["lr"]) == pytest.approx(0.005)
    np.testing.assert_array_equal(train(other), train(each))
