"""Optimizers. Those of embedding rows take coalesced gradients: each row once, with its whole gradient.

A learning rate is a tensor of no dimensions. A schedule writes it in place, so a CUDA graph that was captured with it
follows the schedule, and no step reads it back from the device.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor, nn

__all__ = [
    "OPTIMIZERS", "SGD", "Adagrad", "Adam", "DenseAdagrad", "DenseOptimizer", "DenseSGD", "RowOptimizer",
    "RowwiseAdagrad", "dense_optimizer", "load_optimizer_state", "row_optimizer",
]  # fmt: skip

OPTIMIZERS = ("sgd", "adagrad")


class RowOptimizer(ABC):
    """Updates rows of an embedding table in place.

    Args:
        rate: learning rate. A number is put into a float64 tensor on `device`; a tensor is kept as it is, so that
            others may share it.
        device: where the rows are. A rate on the CPU serves rows on a GPU too, but then each step reads it as it is
            launched, and a CUDA graph would not follow it.

    Attributes:
        rate: tensor [].
    """

    def __init__(self, rate: float | Tensor, *, device: torch.device | str = "cpu") -> None:
        self._shared = isinstance(rate, Tensor)
        self.rate = rate if isinstance(rate, Tensor) else torch.tensor(rate, dtype=torch.float64, device=device)

    def set_rate(self, rate: float) -> None:
        """Another learning rate from the next step on."""
        self.rate.fill_(rate)

    def to(self, device: torch.device) -> None:
        """The rows are on this device.

        Raises:
            ValueError: the rate is a tensor that was given, and is elsewhere.
        """
        if self.rate.device.type == device.type:
            return
        if self._shared:
            raise ValueError(
                f"the learning rate is a tensor on {self.rate.device}; the rows are on {device}: make it there"
            )
        self.rate = self.rate.to(device)

    def state_shape(self, dimension: int) -> tuple[int, ...]:
        """The shape of the state of one row of D numbers; () for one number."""
        return ()

    def state_dict(self) -> dict[str, Tensor]:
        """A copy of what is not kept with the rows."""
        return {"rate": self.rate.clone().cpu()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        """Goes on from what `state_dict` gave. Values go into the tensors that there are."""
        self.rate.copy_(state["rate"])

    def begin(self) -> None:  # noqa: B027  # most count no steps
        """Before the updates of a step."""

    @abstractmethod
    def update(self, table: Tensor, accumulator: Tensor, rows: Tensor, gradient: Tensor) -> None:
        """One step.

        Args:
            table: [R, D].
            accumulator: [R, *state_shape(D)], the optimizer's state, zero at first.
            rows: int32 or int64 [u], each row once.
            gradient: [u, D], of those rows. All four tensors are on one device.
        """

    def _descend(self, table: Tensor, rows: Tensor, step: Tensor) -> None:
        """table[rows] -= rate * step.

        Where the rate is on the CPU, it is read as a number: then product and sum are rounded once. Elsewhere reading
        it would wait for the device, so the product is rounded by itself. The last bit may differ between the two.
        All ways to train use this function on the CPU, so they agree bit for bit.
        """
        if self.rate.is_cpu:
            # Through NumPy, as a check that nothing waits for a device may forbid `item`.
            table.index_add_(0, rows, step, alpha=-float(self.rate.numpy()))
        else:
            table.index_add_(0, rows, step * -self.rate)


class SGD(RowOptimizer):
    """row -= rate * gradient. The accumulator is not used."""

    def update(self, table: Tensor, accumulator: Tensor, rows: Tensor, gradient: Tensor) -> None:
        self._descend(table, rows, gradient)


class RowwiseAdagrad(RowOptimizer):
    """Adagrad with one accumulator a row, as FBGEMM's EXACT_ROWWISE_ADAGRAD.

    accumulator += mean over D of gradient^2;  row -= rate * gradient / (sqrt(accumulator) + eps)
    """

    def __init__(self, rate: float | Tensor, eps: float = 1e-3, *, device: torch.device | str = "cpu") -> None:
        super().__init__(rate, device=device)
        self.eps = eps

    def update(self, table: Tensor, accumulator: Tensor, rows: Tensor, gradient: Tensor) -> None:
        sums = accumulator.index_select(0, rows) + gradient.square().mean(dim=1)
        accumulator.index_copy_(0, rows.long(), sums)
        self._descend(table, rows, gradient / (sums.sqrt() + self.eps).unsqueeze(1))


class Adagrad(RowOptimizer):
    """Adagrad with one accumulator a number, as `torch.optim.Adagrad` of a sparse gradient.

    accumulator += gradient^2;  row -= rate * gradient / (sqrt(accumulator) + eps)
    """

    def __init__(self, rate: float | Tensor, eps: float = 1e-10, *, device: torch.device | str = "cpu") -> None:
        super().__init__(rate, device=device)
        self.eps = eps

    def state_shape(self, dimension: int) -> tuple[int, ...]:
        return (dimension,)

    def update(self, table: Tensor, accumulator: Tensor, rows: Tensor, gradient: Tensor) -> None:
        sums = accumulator.index_select(0, rows).addcmul_(gradient, gradient)  # rounded as torch does
        accumulator.index_copy_(0, rows.long(), sums)
        roots = sums.sqrt() + self.eps
        if self.rate.is_cpu:
            moved = table.index_select(0, rows).addcdiv_(gradient, roots, value=-float(self.rate.numpy()))
            table.index_copy_(0, rows.long(), moved)
        else:
            self._descend(table, rows, gradient / roots)


class Adam(RowOptimizer):
    """Adam of the rows that are looked up, as `torch.optim.SparseAdam`: the moments of other rows stay as they are.

    Attributes:
        steps: tensor [], the steps that were done.
    """

    def __init__(
        self,
        rate: float | Tensor,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        *,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(rate, device=device)
        self.betas, self.eps = betas, eps
        self.steps = torch.zeros((), dtype=torch.float64, device=self.rate.device)

    def to(self, device: torch.device) -> None:
        super().to(device)
        self.steps = self.steps.to(device)

    def state_shape(self, dimension: int) -> tuple[int, ...]:
        return (2, dimension)

    def state_dict(self) -> dict[str, Tensor]:
        return super().state_dict() | {"steps": self.steps.clone().cpu()}

    def load_state_dict(self, state: dict[str, Tensor]) -> None:
        super().load_state_dict(state)
        self.steps.copy_(state["steps"])

    def begin(self) -> None:
        self.steps += 1

    def update(self, table: Tensor, accumulator: Tensor, rows: Tensor, gradient: Tensor) -> None:
        first, second = self.betas
        moments = accumulator.index_select(0, rows)
        moments[:, 0] += (gradient - moments[:, 0]) * (1 - first)
        moments[:, 1] += (gradient.square() - moments[:, 1]) * (1 - second)
        accumulator.index_copy_(0, rows.long(), moments)
        scale = (1 - second**self.steps).sqrt() / (1 - first**self.steps)
        self._descend(table, rows, moments[:, 0] / (moments[:, 1].sqrt() + self.eps) * scale.to(table.dtype))


class DenseOptimizer(torch.optim.Optimizer):
    """An optimizer of dense parameters of one dtype and on one device, which a CUDA graph can capture.

    torch's own cannot, with a learning rate on the device: SGD reads it back (`foreach`), or takes it in float32 only
    (`fused`), and Adagrad (`foreach`) counts steps on the host and scales each parameter by itself. What is not used
    here is left out: weight decay, momentum, sparse gradients.

    It works with `torch.optim.lr_scheduler`, which writes `param_groups[0]["lr"]` in place.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float | Tensor, **defaults: Any) -> None:
        listed = list(parameters)
        if not isinstance(lr, Tensor):
            lr = torch.tensor(lr, dtype=listed[0].dtype, device=listed[0].device)
        super().__init__(listed, {"lr": lr, **defaults})

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """One step, on all parameters that have a gradient. Arguments as in torch."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            if parameters:
                self._update(parameters, [parameter.grad for parameter in parameters], group)
        return loss

    @abstractmethod
    def _update(self, parameters: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None: ...

    @torch.no_grad()
    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As in torch, but values go into the tensors that there are: a captured CUDA graph goes on using these."""
        rates = [group["lr"] for group in self.param_groups]
        held = {parameter: dict(state) for parameter, state in self.state.items()}
        super().load_state_dict(state_dict)
        for group, rate in zip(self.param_groups, rates, strict=True):
            group["lr"] = rate.fill_(group["lr"])
        for parameter, state in held.items():
            self.state[parameter] = {name: tensor.copy_(self.state[parameter][name]) for name, tensor in state.items()}


class DenseSGD(DenseOptimizer):
    """parameter -= lr * gradient"""

    def _update(self, parameters: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        torch._foreach_sub_(parameters, torch._foreach_mul(gradients, group["lr"]))


class DenseAdagrad(DenseOptimizer):
    """sum += gradient^2;  parameter -= lr * gradient / (sqrt(sum) + eps). The state is called as torch calls it."""

    def __init__(self, parameters: Iterable[nn.Parameter], lr: float | Tensor, eps: float = 1e-3) -> None:
        super().__init__(parameters, lr, eps=eps)
        for group in self.param_groups:
            for parameter in group["params"]:
                self.state[parameter]["sum"] = torch.zeros_like(parameter)

    def _update(self, parameters: list[Tensor], gradients: list[Tensor], group: dict[str, Any]) -> None:
        sums = [self.state[parameter]["sum"] for parameter in parameters]
        torch._foreach_addcmul_(sums, gradients, gradients)
        roots = torch._foreach_sqrt(sums)
        torch._foreach_add_(roots, group["eps"])
        torch._foreach_addcdiv_(parameters, torch._foreach_mul(gradients, group["lr"]), roots, value=-1.0)


@torch.no_grad()
def load_optimizer_state(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """As its `load_state_dict`, but a learning rate that is a tensor stays that tensor: rows may share it."""
    rates = [group.get("lr") for group in optimizer.param_groups]
    optimizer.load_state_dict(state)
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        if isinstance(rate, Tensor):
            group["lr"] = rate.fill_(group["lr"])


def row_optimizer(name: str, rate: float | Tensor, eps: float, *, device: torch.device | str = "cpu") -> RowOptimizer:
    """The optimizer of embedding rows on `device` with this name, one of `OPTIMIZERS`."""
    return SGD(rate, device=device) if _known(name) == "sgd" else RowwiseAdagrad(rate, eps, device=device)


def dense_optimizer(name: str, parameters: Iterable[nn.Parameter], rate: float | Tensor, eps: float) -> DenseOptimizer:
    """The counterpart for dense parameters: SGD, or element-wise Adagrad."""
    return DenseSGD(parameters, rate) if _known(name) == "sgd" else DenseAdagrad(parameters, rate, eps)


def _known(name: str) -> str:
    if name not in OPTIMIZERS:
        raise ValueError(f"unknown optimizer {name!r}; the optimizers are {', '.join(OPTIMIZERS)}")
    return name
