"""Descriptors and completions as Python values, and as bytes in the layout of `hotline_hw.spec.descriptors`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np

from hotline_hw.spec.descriptors import COMPLETION, DESCRIPTOR, ENTRY_BYTES, EntryField, Flag, Opcode

__all__ = ["ENTRY_WORDS", "Completion", "Descriptor"]

ENTRY_WORDS = ENTRY_BYTES // 4


@dataclass(frozen=True, kw_only=True)
class Descriptor:
    """A descriptor. Addresses are the accelerator's.

    Attributes:
        operand: word 5, tables or bytes of a row.
        reserved: must be zero: bits 31:16 of word 0, followed by words 12 to 15.
    """

    opcode: int
    flags: int = 0
    tag: int = 0
    source: int = 0
    count: int = 0
    operand: int = 0
    targets: tuple[int, int, int] = (0, 0, 0)
    reserved: int = 0

    @property
    def unused(self) -> int:
        return self.reserved >> 16

    def pack(self) -> np.ndarray:
        """uint32 [ENTRY_WORDS]."""
        return _pack(DESCRIPTOR, self)

    @classmethod
    def unpack(cls, words: np.ndarray) -> Descriptor:
        """Decodes uint32 [ENTRY_WORDS]."""
        fields = _unpack(DESCRIPTOR, words)
        fields["reserved"] |= fields.pop("unused") << 16
        return cls(**fields)

    def __str__(self) -> str:
        """The fields that are not zero, for messages."""
        known = self.opcode in list(Opcode)
        parts = [Opcode(self.opcode).name if known else f"opcode {self.opcode}"]
        if self.flags:
            parts.append("|".join(flag.name or "" for flag in Flag if flag & self.flags))
        parts += [f"tag {self.tag}"]
        parts += [f"{name} {value:#x}" for name, value in (("source", self.source),) if value]
        parts += [f"{name} {value}" for name, value in (("count", self.count), ("operand", self.operand)) if value]
        parts += [f"target {place} {value:#x}" for place, value in enumerate(self.targets) if value]
        return ", ".join(parts)


@dataclass(frozen=True, kw_only=True)
class Completion:
    """A completion.

    Attributes:
        listed, held: words 6 and 7.
        errors: bits of `hotline_hw.spec.regmap.Error`.
        cycles: clock cycles; 0 on a backend without a clock.
        address: the address that could not be accessed; 0 if unknown.
    """

    tag: int
    opcode: int
    status: int
    generation: int = 0
    samples: int = 0
    popular_samples: int = 0
    popular_words: int = 0
    nonpopular_words: int = 0
    listed: int = 0
    held: int = 0
    errors: int = 0
    cycles: int = 0
    address: int = 0

    def pack(self) -> np.ndarray:
        """uint32 [ENTRY_WORDS]."""
        return _pack(COMPLETION, self)

    @classmethod
    def unpack(cls, words: np.ndarray) -> Completion:
        """Decodes uint32 [ENTRY_WORDS]."""
        fields = _unpack(COMPLETION, words)
        return cls(**{name: value for name, value in fields.items() if name not in ("reserved", "unused")})


def _pack(fields: Iterable[EntryField], values: object) -> np.ndarray:
    """uint32 [ENTRY_WORDS] of the attributes of `values`; what it does not have is zero."""
    whole, low = 0, 0
    for field in fields:
        value = getattr(values, field.name, 0)
        for part in value if isinstance(value, tuple) else (value,):
            whole |= (part & (1 << field.bits) - 1) << low
            low += field.bits
    return np.frombuffer(whole.to_bytes(ENTRY_BYTES, "little"), "<u4").astype(np.uint32)


def _unpack(fields: Iterable[EntryField], words: np.ndarray) -> dict[str, Any]:
    whole = int.from_bytes(words.astype("<u4").tobytes(), "little")
    values: dict[str, Any] = {}
    for field in fields:
        parts = []
        for _ in range(field.number):
            parts.append(whole & (1 << field.bits) - 1)
            whole >>= field.bits
        values[field.name] = parts[0] if field.number == 1 else tuple(parts)
    return values
