"""Stream words: fields are where the layout says, side by side, and hold every value of every geometry."""

from __future__ import annotations

import numpy as np
import pytest

from hotline_hw.spec import words
from hotline_hw.spec.params import PRESETS

LOOKUP = (words.ROW_FIELD, words.TABLE_FIELD, words.RESERVED_FIELD, words.LAST_FIELD)
RESULT = (words.ROW_FIELD, words.TABLE_FIELD, words.SAMPLE_FIELD, words.HIT_FIELD, words.LAST_FIELD)
ENTRY = (words.ENTRY_TAG, words.COUNTER_FIELD, words.ENTRY_REFERENCED, words.ENTRY_HOT, words.ENTRY_VALID)


def _bits(fields: tuple[words.Field, ...]) -> list[int]:
    return [bit for field in fields for bit in range(field.low, field.high + 1)]


@pytest.mark.parametrize("fields", [LOOKUP, RESULT], ids=["lookup", "result"])
def test_fields_fill_the_word(fields):
    assert sorted(_bits(fields)) == list(range(words.WORD_BITS))


def test_entry_fields_do_not_overlap():
    bits = _bits(ENTRY)
    assert len(bits) == len(set(bits)) and max(bits) < words.WORD_BITS


def test_layout_is_the_published_one():
    """The positions that software outside this project relies on."""
    assert [(field.high, field.low) for field in LOOKUP] == [(31, 0), (39, 32), (62, 40), (63, 63)]
    assert [(field.high, field.low) for field in RESULT] == [(31, 0), (39, 32), (61, 40), (62, 62), (63, 63)]
    assert [(field.high, field.low) for field in ENTRY] == [(39, 0), (59, 48), (61, 61), (62, 62), (63, 63)]


def test_payload_is_table_and_row():
    payload = words.PAYLOAD_FIELD
    assert _bits((payload,)) == _bits((words.ROW_FIELD, words.TABLE_FIELD))


@pytest.mark.parametrize("geometry", PRESETS.values(), ids=PRESETS)
def test_fields_hold_the_presets(geometry):
    for bits, field in (
        (geometry.row_bits, words.ROW_FIELD),
        (geometry.table_bits, words.TABLE_FIELD),
        (geometry.sample_bits, words.SAMPLE_FIELD),
        (geometry.tag_bits, words.ENTRY_TAG),
        (geometry.counter_bits, words.COUNTER_FIELD),
        (geometry.slot_bits, words.SLOT_FIELD),
    ):
        assert bits <= field.width


def test_mask_works_on_integers_and_arrays():
    word = 0x8123_4567_89AB_CDEF
    field = words.TABLE_FIELD
    assert word >> field.low & field.mask == 0x67
    assert (np.array([word], np.uint64) >> field.low & field.mask).tolist() == [0x67]
