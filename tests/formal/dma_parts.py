"""What the proofs of the DMA shell's movers share: small parameters, and stand-ins for what is proven elsewhere."""

from __future__ import annotations

from typing import TypeVar
from unittest import mock

from amaranth.hdl import Module

from hotline_hw.spec.params import Geometry

T = TypeVar("T")


class Small(Geometry):
    """Bursts of two beats, and a buffer of any small size."""

    burst_beats = 2  # type: ignore[assignment]

    def _check_shell(self, rule: object) -> None:
        pass


def geometry(axi_bits: int, *, read_tags: int = 2, read_beats: int = 4) -> Geometry:
    return Small(
        lanes=8, banks=2, sets=2, ways=8, table_bits=1, row_bits=5, bank_ports=1, queue_depth=2, beat_depth=4,
        axi_bits=axi_bits, working_rows=4, read_tags=read_tags, read_beats=read_beats,
    )  # fmt: skip


def with_parts(block: type[T], **parts: object) -> type[T]:
    """`block`, which finds `parts` under their names when it is elaborated. It may have been given others before."""
    own = getattr(block, "without_parts", block)

    class Block(block):  # type: ignore[misc, valid-type]
        without_parts = own

        def elaborate(self, platform: object) -> Module:
            with mock.patch.dict(own.elaborate.__globals__, parts):  # type: ignore[attr-defined]
                return super().elaborate(platform)

    return Block
