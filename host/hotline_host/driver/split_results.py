"""Checks the answer to a CLASSIFY, and turns it into a split.

samples       s0: a b    s1: (empty)    s2: c        lookups in input order
popular       c|                                     words of popular samples, in input order
nonpopular    a b|
verdicts      0 1                                    one bit for each sample that was sent
split         popular = [no, yes, yes]   slots = [a: -1 or slot, b: ..., c: slot]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hotline_device.compiled import compiled
from hotline_device.ring_entries import Completion
from hotline_host.errors import DriverError
from hotline_host.plan import Split, WorkingSet
from hotline_hw.spec.descriptors import (
    COLD_LOCAL,
    HIT_BIT,
    LAST_BIT,
    MAX_BANKS,
    NOT_LISTED,
    SUMMARY_LISTS,
    VALUE_FIELD,
    Status,
)
from hotline_hw.spec.words import LAST_FIELD, ROW_FIELD, TABLE_FIELD

from .packets import Lookups

__all__ = ["Answer", "read_split"]


@dataclass(frozen=True)
class Answer:
    """The answer to one CLASSIFY, as it lies in memory.

    Attributes:
        popular, nonpopular: uint32, the result words of each packet.
        list_counts: int64 [SUMMARY_LISTS].
        verdicts: bool [samples sent].
    """

    completion: Completion
    popular: np.ndarray
    nonpopular: np.ndarray
    list_counts: np.ndarray
    verdicts: np.ndarray


_LISTS = 1 << VALUE_FIELD.width - COLD_LOCAL.width
"""Lists that a place can name; those behind the summary's are empty."""


def read_split(lookups: Lookups, answer: Answer, hot_rows: int) -> Split:
    """The split of a mini-batch. Slots and places are int32.

    Raises:
        DriverError: a sample did not come back exactly once, whole, in order and in the right packet; a slot is outside
            `hot_rows`; or the places of the cold rows are impossible.
    """
    done, counts, sent = answer.completion, lookups.counts, lookups.sent
    if done.samples != sent:
        raise DriverError(f"{sent} samples were sent, and {done.samples} came back")
    if done.popular_samples != answer.verdicts.sum():
        raise DriverError(f"{done.popular_samples} samples are popular, but {answer.verdicts.sum()} are marked so")
    popular = np.ones(len(counts), bool)
    popular[counts > 0] = answer.verdicts
    due_popular = int(counts[popular].sum())
    packets = (("popular", answer.popular, due_popular), ("nonpopular", answer.nonpopular, len(lookups) - due_popular))
    for name, packet, due in packets:
        if len(packet) != due:
            raise DriverError(
                f"not every sample came back exactly once: {len(packet)} {name} words came, {due} were due"
            )
    listed = answer.list_counts if done.status != Status.WORKING else None
    if listed is not None:
        counted = tuple(int(part.sum()) for part in np.split(listed, [MAX_BANKS]))
        if counted != (done.listed, done.held) or sum(counted) > len(lookups):
            raise DriverError(
                f"{done.listed} cold rows and {done.held} that are held are told of for {len(lookups)} lookups, but "
                f"the lists count {counted[0]} and {counted[1]}"
            )
    known = np.zeros(_LISTS, np.int64)
    known[:SUMMARY_LISTS] = 0 if listed is None else listed
    total = int(known.sum())
    slots, places = np.empty(len(lookups), np.int32), np.empty(len(lookups), np.int32)
    keys = np.empty(total, np.uint64)  # of the cold rows
    wrong, at, detail = _decode(
        lookups.data, lookups.tables, counts, popular, answer.popular, answer.nonpopular, hot_rows, listed is not None,
        known, slots, places, keys,
    )  # fmt: skip
    if wrong:
        raise DriverError(_complaint(wrong, at, detail, hot_rows, total))
    if listed is None:
        return Split(popular, slots, None)
    tables = (keys >> np.uint64(TABLE_FIELD.low) & np.uint64(TABLE_FIELD.mask)).astype(np.int64)
    rows = (keys & np.uint64(ROW_FIELD.mask)).astype(np.int64)
    return Split(popular, slots, WorkingSet(places, tables, rows, done.held))


# What can be wrong with a word, as `_decode` says it
_CUT, _LONG, _PACKET, _SLOT, _PLACE, _OTHER, _ROWS = range(1, 8)
_NONPOPULAR = 10
"""Is added to _CUT and _LONG in the packet of that name."""


def _complaint(wrong: int, at: int, detail: int, hot_rows: int, total: int) -> str:
    if wrong % _NONPOPULAR in (_CUT, _LONG):
        name = "nonpopular" if wrong >= _NONPOPULAR else "popular"
        there, due_there = ("ends", "does not end") if wrong % _NONPOPULAR == _CUT else ("does not end", "ends")
        return (
            f"not every sample came back whole: at {name} result word {at} a sample {there}, but sample "
            f"{detail} {due_there} there"
        )
    return {
        _PACKET: f"sample {at} came back in the wrong packet for its hits",
        _SLOT: f"lookup {at} came back with slot {detail}, outside the {hot_rows} hot rows",
        _PLACE: f"lookup {at} came back with place {detail:#x}, where no row was listed",
        _OTHER: f"lookup {at} came back with the place of another row",
        _ROWS: f"of {total} cold rows that are listed not each is a row of its own that was looked up",
    }[wrong]


_LAST_SHIFT, _HIT_SHIFT, _VALUE_MASK = (np.uint32(it) for it in (LAST_BIT.low, HIT_BIT.low, VALUE_FIELD.mask))
_LOCAL_WIDTH, _LOCAL_MASK = COLD_LOCAL.width, COLD_LOCAL.mask
_TABLE_SHIFT, _KEY_MASK = np.uint64(TABLE_FIELD.low), np.uint64((1 << LAST_FIELD.low) - 1)


@compiled()
def _repeats(keys):
    """Whether two keys are equal."""
    bits = 4
    while keys.size * 2 > 1 << bits:
        bits += 1
    mask = (1 << bits) - 1
    there = np.full(1 << bits, -1, np.int32)
    for number in range(keys.size):
        at = np.int64(keys[number] * np.uint64(0x9E3779B97F4A7C15) >> np.uint64(64 - bits))
        while there[at] >= 0:
            if keys[there[at]] == keys[number]:
                return True
            at = at + 1 & mask
        there[at] = number
    return False


@compiled()
def _decode(data, tables, counts, popular, popular_words, other_words, hot_rows, listed, known, slots, places, keys):
    """Fills `slots`, `places` and `keys`. Returns what is wrong, where, and what is there; 0 first if nothing is."""
    first = np.empty(known.size, np.int64)
    total = 0
    for number in range(known.size):
        first[number] = total
        total += known[number]
    found = np.zeros(keys.size, np.bool_)
    at = sample_sent = popular_at = other_at = 0
    for sample in range(counts.size):
        count = counts[sample]
        if not count:
            continue
        if popular[sample]:
            words, word_at, packet = popular_words, popular_at, 0
            popular_at += count
        else:
            words, word_at, packet = other_words, other_at, _NONPOPULAR
            other_at += count
        all_hit = True
        wrong, wrong_at, detail = 0, 0, np.int64(0)  # the first thing; a wrong packet explains it better
        for number in range(count):
            word = words[word_at + number]
            last = word >> _LAST_SHIFT == 1
            if last != (number == count - 1):
                return (_CUT if last else _LONG) + packet, word_at + number, sample_sent
            value = np.int64(word & _VALUE_MASK)
            slots[at] = places[at] = -1
            problem = 0
            if word >> _HIT_SHIFT & np.uint32(1):
                if value < hot_rows:
                    slots[at] = value
                else:
                    problem = _SLOT
            else:
                all_hit = False
                if listed:
                    place_list, local = value >> _LOCAL_WIDTH, value & _LOCAL_MASK
                    if value == NOT_LISTED or local >= known[place_list]:
                        problem = _PLACE
                    else:
                        place = first[place_list] + local
                        if tables:
                            key = np.uint64(at % tables) << _TABLE_SHIFT | np.uint64(data[at])
                        else:
                            key = np.uint64(data[at]) & _KEY_MASK
                        if found[place] and keys[place] != key:
                            problem = _OTHER
                        found[place] = True
                        keys[place] = key
                        places[at] = place
            if problem and not wrong:
                wrong, wrong_at, detail = problem, at, value
            at += 1
        if all_hit != popular[sample]:
            return _PACKET, sample_sent, 0
        if wrong:
            return wrong, wrong_at, detail
        sample_sent += 1
    for place in range(keys.size):
        if not found[place]:
            return _ROWS, 0, 0
    if _repeats(keys):
        return _ROWS, 0, 0
    return 0, 0, 0
