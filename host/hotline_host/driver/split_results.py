"""What CLASSIFY answers, checked, as splits.

samples       s0: a b    s1: (empty)    s2: c        lookups in input order
popular       c|                                     words of popular samples, in input order
nonpopular    a b|
verdicts      0 1                                    a bit for each sample that was sent
split         popular = [no, yes, yes]   slots = [a: -1 or slot, b: ..., c: slot]
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
from hotline_hw.spec.words import ROW_FIELD, TABLE_FIELD

from .packets import Lookups

__all__ = ["Answer", "read_split"]


@dataclass(frozen=True)
class Answer:
    """The answer to one CLASSIFY, as it lies in memory.

    Attributes:
        popular, nonpopular: uint32, result words.
        list_counts: int64 [SUMMARY_LISTS].
        verdicts: bool [samples sent].
    """

    completion: Completion
    popular: np.ndarray
    nonpopular: np.ndarray
    list_counts: np.ndarray
    verdicts: np.ndarray


def read_split(lookups: Lookups, answer: Answer, hot_rows: int) -> Split:
    """The split of a mini-batch.

    Raises:
        DriverError: not every sample came back exactly once, whole, in order and in the right packet, a slot is outside
            `hot_rows`, or the places of cold rows cannot be.
    """
    done, sent = answer.completion, lookups.counts[lookups.counts > 0]
    if done.samples != len(sent):
        raise DriverError(f"{len(sent)} samples were sent, and {done.samples} came back")
    if done.popular_samples != answer.verdicts.sum():
        raise DriverError(f"{done.popular_samples} samples are popular, but {answer.verdicts.sum()} are marked so")
    sample_of = np.repeat(np.arange(len(sent)), sent)  # of each lookup
    ends = np.zeros(len(sample_of), bool)
    ends[np.cumsum(sent) - 1] = True
    chosen = answer.verdicts[sample_of]
    words = np.empty(len(sample_of), np.uint32)
    for name, packet, mine in (("popular", answer.popular, chosen), ("nonpopular", answer.nonpopular, ~chosen)):
        _check_packet(name, packet, ends[mine], sample_of[mine])
        words[mine] = packet

    hit = words >> np.uint32(HIT_BIT.low) & np.uint32(1) == 1
    all_hit = np.bincount(sample_of, ~hit, minlength=len(sent)) == 0
    if (all_hit != answer.verdicts).any():
        sample = int((all_hit != answer.verdicts).argmax())
        raise DriverError(f"sample {sample} came back in the wrong packet for its hits")
    values = (words & np.uint32(VALUE_FIELD.mask)).astype(np.int64)
    if (beyond := hit & (values >= hot_rows)).any():
        at = int(beyond.argmax())
        raise DriverError(f"lookup {at} came back with slot {values[at]}, outside the {hot_rows} hot rows")
    popular = np.ones(len(lookups.counts), bool)
    popular[lookups.counts > 0] = answer.verdicts
    working = None
    if done.status != Status.WORKING:
        counted = tuple(int(part.sum()) for part in np.split(answer.list_counts, [MAX_BANKS]))
        if counted != (done.listed, done.held) or sum(counted) > len(hit):
            raise DriverError(
                f"{done.listed} cold rows and {done.held} that are held are told of for {len(hit)} lookups, but the "
                f"lists count {counted[0]} and {counted[1]}"
            )
        working = _working_set(lookups.keys, ~hit, values, answer.list_counts)
    return Split(popular, np.where(hit, values, -1), working)


def _check_packet(name: str, packet: np.ndarray, ends: np.ndarray, sample_of: np.ndarray) -> None:
    """Raises DriverError unless a packet's samples are as long as those that were due, one by one."""
    due = len(ends)
    if len(packet) != due:
        raise DriverError(f"not every sample came back exactly once: {len(packet)} {name} words came, {due} were due")
    wrong = packet >> np.uint32(LAST_BIT.low) != ends
    if wrong.any():
        at = int(wrong.argmax())
        there, due_there = ("ends", "does not end") if not ends[at] else ("does not end", "ends")
        raise DriverError(
            f"not every sample came back whole: at {name} result word {at} a sample {there}, but sample "
            f"{sample_of[at]} {due_there} there"
        )


def _working_set(keys: np.ndarray, cold: np.ndarray, values: np.ndarray, list_counts: np.ndarray) -> WorkingSet:
    """Places as rows of the working parameters, which are in order of lists."""
    total = int(list_counts.sum())
    lists, local = values >> COLD_LOCAL.width, values & COLD_LOCAL.mask
    known = np.zeros(1 << VALUE_FIELD.width - COLD_LOCAL.width, np.int64)
    known[:SUMMARY_LISTS] = list_counts
    if (wrong := cold & ((values == NOT_LISTED) | (local >= known[lists]))).any():
        at = int(wrong.argmax())
        raise DriverError(f"lookup {at} came back with place {values[at]:#x}, where no row was listed")
    first = np.cumsum(known) - known
    places = np.where(cold, first[lists] + local, -1)
    row_keys = np.zeros(total, np.uint64)
    found = np.zeros(total, bool)
    row_keys[places[cold]] = keys[cold]
    found[places[cold]] = True
    if (wrong := row_keys[places[cold]] != keys[cold]).any():
        at = int(np.flatnonzero(cold)[wrong.argmax()])
        raise DriverError(f"lookup {at} came back with the place of another row")
    if not found.all() or len(np.unique(row_keys)) != total:
        raise DriverError(f"of {total} cold rows that are listed not each is a row of its own that was looked up")
    tables = (row_keys >> np.uint64(TABLE_FIELD.low) & np.uint64(TABLE_FIELD.mask)).astype(np.int64)
    rows = (row_keys & np.uint64(ROW_FIELD.mask)).astype(np.int64)
    return WorkingSet(places, tables, rows, int(list_counts[MAX_BANKS:].sum()))
