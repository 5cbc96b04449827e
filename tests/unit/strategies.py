"""Hypothesis strategies that several tests share."""

from __future__ import annotations

from hypothesis import strategies as st

from hotline_hw.params import Geometry


@st.composite
def geometries(draw: st.DrawFn) -> Geometry:
    """Small geometries in which sets overflow, keys are wide or narrow, and framing limits are easily met."""
    lanes = 1 << draw(st.integers(1, 3))
    banks = 1 << draw(st.integers(1, 3))
    sets = 1 << draw(st.integers(1, 4))
    index_bits = (banks * sets).bit_length() - 1
    key_bits = 2 * draw(st.integers(max(3, (index_bits + 1) // 2), 20))
    table_bits = draw(st.integers(max(1, key_bits - 32), min(8, key_bits - 1)))
    return Geometry(
        lanes=lanes,
        banks=banks,
        sets=sets,
        ways=draw(st.integers(2, 6)),
        rrpv_bits=draw(st.integers(1, 4)),
        table_bits=table_bits,
        row_bits=key_bits - table_bits,
        max_lookups=lanes + draw(st.integers(0, 8)),
        max_samples=draw(st.integers(1, 6)),
        bank_ports=1,
        queue_depth=4,
        beat_depth=4,
    )


seeds = st.integers(0, 2**32 - 1)
