"""Descriptors and completions as Python values, and as bytes in the layout of `hotline_hw.spec.descriptors`."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hotline_hw.spec.descriptors import ENTRY_BYTES, Flag, Opcode

__all__ = ["ENTRY_WORDS", "Completion", "Descriptor"]

ENTRY_WORDS = ENTRY_BYTES // 4
_WORD = 0xFFFF_FFFF


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

    def pack(self) -> np.ndarray:
        """uint32 [ENTRY_WORDS]."""
        words = [
            self.opcode | self.flags << 8 | (self.reserved & 0xFFFF) << 16, self.tag,
            *_halves(self.source), self.count, self.operand,
            *(half for target in self.targets for half in _halves(target)),
            *(self.reserved >> 16 + 32 * place & _WORD for place in range(4)),
        ]  # fmt: skip
        return np.array(words, np.uint32)

    @classmethod
    def unpack(cls, words: np.ndarray) -> Descriptor:
        """Decodes uint32 [ENTRY_WORDS]."""
        w = words.tolist()
        return cls(
            opcode=w[0] & 0xFF, flags=w[0] >> 8 & 0xFF, tag=w[1], source=_whole(w[2:4]), count=w[4], operand=w[5],
            targets=(_whole(w[6:8]), _whole(w[8:10]), _whole(w[10:12])),
            reserved=w[0] >> 16 | sum(word << 16 + 32 * place for place, word in enumerate(w[12:])),
        )  # fmt: skip

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
        words = [
            self.tag, self.opcode | self.status << 8 | self.generation << 31, self.samples, self.popular_samples,
            self.popular_words, self.nonpopular_words, self.listed, self.held, self.errors, self.cycles,
            *_halves(self.address), 0, 0, 0, 0,
        ]  # fmt: skip
        return np.array(words, np.uint32)

    @classmethod
    def unpack(cls, words: np.ndarray) -> Completion:
        """Decodes uint32 [ENTRY_WORDS]."""
        w = words.tolist()
        return cls(
            tag=w[0], opcode=w[1] & 0xFF, status=w[1] >> 8 & 0xFF, generation=w[1] >> 31, samples=w[2],
            popular_samples=w[3], popular_words=w[4], nonpopular_words=w[5], listed=w[6], held=w[7], errors=w[8],
            cycles=w[9], address=_whole(w[10:12]),
        )  # fmt: skip


def _halves(value: int) -> tuple[int, int]:
    return value & _WORD, value >> 32 & _WORD


def _whole(halves: list[int]) -> int:
    return halves[0] | halves[1] << 32
