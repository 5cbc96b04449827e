"""What goes in and out: lookups by feature, and vectors by feature. The names are TorchRec's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from torch import Tensor

from hotline_host.errors import DataError

__all__ = ["JaggedTensor", "KeyedJaggedTensor", "KeyedTensor"]


class KeyedJaggedTensor:
    """The lookups of B samples for F features, one feature after another.

        values     feature 0: sample 0, sample 1, ... | feature 1: sample 0, ...
        lengths    of each of these bags

    Args:
        keys: names of the features.
        values: int64 [n], rows.
        lengths: [F * B]; None: one lookup a bag, or as `offsets` say.
        offsets: [F * B + 1], where each bag begins in `values`, and the end of the last.
        weights: [n], what each lookup's row is multiplied by; None: 1.

    Raises:
        DataError: the sizes do not fit.
    """

    def __init__(
        self,
        keys: Sequence[str],
        values: Tensor,
        lengths: Tensor | None = None,
        offsets: Tensor | None = None,
        weights: Tensor | None = None,
    ) -> None:
        if lengths is None:
            lengths = torch.ones(len(values), dtype=torch.int64) if offsets is None else offsets.diff()
        if not keys or len(lengths) % len(keys):
            raise DataError(f"{len(lengths)} bags cannot be those of {len(keys)} features")
        if weights is not None and weights.shape != values.shape:
            raise DataError(f"weights is {list(weights.shape)}; it must be {list(values.shape)}, one for each lookup")
        self._keys, self._values, self._lengths, self._weights = list(keys), values, lengths, weights

    @classmethod
    def from_dict(cls, features: Mapping[str, Tensor | tuple[Tensor, Tensor]]) -> KeyedJaggedTensor:
        """Of each feature rows [B], one a sample; or [B, L], L a sample; or rows [n] and lengths [B].

        Raises:
            DataError: a feature has something else, or another number of samples than the one before.
        """
        values, lengths = [], []
        for name, each in features.items():
            if isinstance(each, tuple):
                rows, counts = each
            elif isinstance(each, Tensor) and each.dim() in (1, 2):
                rows = each.reshape(-1)
                counts = torch.full((len(each),), each.shape[1] if each.dim() == 2 else 1, device=each.device)
            else:
                raise DataError(f"feature {name} is a {type(each).__name__}; it must be rows [B] or [B, L], or a pair")
            values.append(rows)
            lengths.append(counts)
            if len(counts) != len(lengths[0]):
                raise DataError(f"feature {name} has {len(counts)} samples, and those before {len(lengths[0])}")
        return cls([*features], torch.cat(values), torch.cat(lengths))

    def keys(self) -> list[str]:
        return self._keys

    def values(self) -> Tensor:
        return self._values

    def lengths(self) -> Tensor:
        return self._lengths

    def offsets(self) -> Tensor:
        return torch.cat([self._lengths.new_zeros(1), self._lengths.cumsum(0)])

    def weights_or_none(self) -> Tensor | None:
        return self._weights

    def stride(self) -> int:
        """B."""
        return len(self._lengths) // len(self._keys)

    def to(self, device: torch.device | str, non_blocking: bool = False) -> KeyedJaggedTensor:
        weights = self._weights
        return KeyedJaggedTensor(
            self._keys,
            self._values.to(device, non_blocking=non_blocking),
            self._lengths.to(device, non_blocking=non_blocking),
            weights=None if weights is None else weights.to(device, non_blocking=non_blocking),
        )


class JaggedTensor:
    """Vectors of one feature that are not pooled: one for each lookup.

    Args:
        values: [n, D], sample after sample.
        lengths: [B], how many of them each sample has.
    """

    def __init__(self, values: Tensor, lengths: Tensor) -> None:
        self._values, self._lengths = values, lengths

    def values(self) -> Tensor:
        return self._values

    def lengths(self) -> Tensor:
        return self._lengths

    def offsets(self) -> Tensor:
        return torch.cat([self._lengths.new_zeros(1), self._lengths.cumsum(0)])

    def to_padded_dense(self, length: int) -> Tensor:
        """[B, length, D]: the first vectors of each sample, zeros behind them."""
        columns = torch.arange(length, device=self._lengths.device)
        there = columns < self._lengths.unsqueeze(1)  # [B, length]
        places = (self.offsets()[:-1].unsqueeze(1) + columns)[there]
        out = self._values.new_zeros(len(self._lengths), length, self._values.shape[1])
        return out.masked_scatter(there.unsqueeze(2), self._values.index_select(0, places))


class KeyedTensor(Mapping[str, Tensor]):
    """Pooled vectors by feature, [B, D] each. A feature that is not pooled has a `JaggedTensor` in `jagged`.

    Attributes:
        jagged: by feature.
    """

    def __init__(self, pooled: dict[str, Tensor], jagged: dict[str, JaggedTensor]) -> None:
        self._pooled, self.jagged = pooled, jagged

    def values(self) -> Tensor:  # type: ignore[override]  # as TorchRec's
        """[B, sum of D]: all pooled vectors side by side, in the order of the features."""
        return torch.cat([*self._pooled.values()], dim=1)

    def to_dict(self) -> dict[str, Tensor]:
        return dict(self._pooled)

    def __getitem__(self, key: str) -> Tensor:
        if key in self.jagged:
            raise KeyError(f"feature {key} is not pooled: it is in `jagged`")
        return self._pooled[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._pooled)

    def __len__(self) -> int:
        return len(self._pooled)
