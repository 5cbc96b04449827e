"""DLRM: widths, interaction against a loop, initial parameters."""

from __future__ import annotations

import pytest
import torch

from hotline_host.training.dlrm import DLRM, ModelConfig

SMALL = ModelConfig(dimension=4, bottom=(5,), top=(6, 3))


def inputs(samples: int, tables: int, dense_features: int, dimension: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(3)
    return (
        torch.randn(samples, dense_features, generator=generator, dtype=torch.float64),
        torch.randn(samples, tables, dimension, generator=generator, dtype=torch.float64),
    )


@pytest.mark.parametrize(("tables", "dense_features"), [(3, 2), (1, 2), (3, 0), (1, 0)])
def test_logits_against_a_loop_over_pairs(tables: int, dense_features: int) -> None:
    model = DLRM(SMALL, tables, dense_features, seed=1, dtype=torch.float64)
    dense, pooled = inputs(7, tables, dense_features, 4)
    logits = model(dense, pooled)
    assert logits.shape == (7,)
    for sample in range(7):
        vectors = list(pooled[sample])
        first = pooled[sample].sum(0)
        if dense_features:
            x = dense[sample]
            for layer in (model.bottom[0], model.bottom[2]):
                x = (layer.weight @ x + layer.bias).clamp(min=0)
            first, vectors = x, [x, *vectors]
        dots = [vectors[i] @ vectors[j] for i in range(len(vectors)) for j in range(i)]
        x = torch.cat([first, *(dot.reshape(1) for dot in dots)])
        for layer in (model.top[0], model.top[2]):
            x = (layer.weight @ x + layer.bias).clamp(min=0)
        expected = model.top[4].weight @ x + model.top[4].bias
        torch.testing.assert_close(logits[sample], expected[0], rtol=0, atol=1e-12)


def test_kaggle_widths() -> None:
    model = DLRM(ModelConfig.kaggle(), 26, 13, seed=0)
    assert [tuple(p.shape) for p in model.bottom.parameters() if p.ndim == 2] == [
        (512, 13), (256, 512), (64, 256), (16, 64),
    ]  # fmt: skip
    assert [tuple(p.shape) for p in model.top.parameters() if p.ndim == 2] == [
        (512, 16 + 27 * 13),
        (256, 512),
        (1, 256),
    ]


def test_initial_parameters_come_from_the_seed_alone() -> None:
    def parameters(seed: int, dtype: torch.dtype = torch.float64) -> torch.Tensor:
        return torch.cat([p.detach().flatten() for p in DLRM(SMALL, 3, 2, seed=seed, dtype=dtype).parameters()])

    torch.manual_seed(1)
    first = parameters(5)
    torch.manual_seed(2)
    state = torch.get_rng_state()
    assert torch.equal(parameters(5), first)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(parameters(5, torch.float32), first.float())
    assert not torch.equal(parameters(6), first)
    assert first.isfinite().all()


def test_config_names_a_width_that_is_wrong() -> None:
    with pytest.raises(ValueError, match="bottom holds the width 0; every width must be at least 1"):
        ModelConfig(bottom=(4, 0))
    with pytest.raises(ValueError, match="dimension holds the width -1"):
        ModelConfig(dimension=-1)
