"""Golden model of what descriptors do: the specification of their results, and of every status.

`decoder` says which are refused, with nothing done. The others are carried out, and their status is the first of

    WINDOW, READ, WRITE   an access failed: the first one does, reads of lookups and state before any write, rows of a
                          GATHER one by one, each read before it is written
    TABLE, ROW            GATHER: a row of a table that is not set up, or beyond its table; rows one by one. It and all
                          behind it are dropped; those before it are as good as written (it is not said which are)
    CORE                  the core reports errors, in word 8 and in its ERROR register
    WORKING               CLASSIFY: a row found no place in the lists

Lookups that cannot be read are left out, state that cannot be read is zero; what cannot be written is lost. Words of
the completion that have no meaning for an opcode are zero.

- CLASSIFY: a lookup out of range (Error.INDEX_RANGE) is cold and NOT_LISTED, and keeps no place.
- CLASSIFY, LEARN and FRONT follow the descriptor, not CONTROL.phase, and show in STATUS.phase and IRQ_STATUS as any do.
- GATHER: the `last` of a LIST's lookups means nothing. The lists of cold rows stay until the next CLASSIFY that is not
  refused; nothing but reset empties them.
- COMMAND takes neither DUMP nor RESTORE nor SELECT: they are descriptors, and a write is COMMAND_CODE.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hotline_device.ring_entries import Completion, Descriptor
from hotline_hw.spec.descriptors import (
    EVENT_BYTES,
    HIT_BIT,
    LAST_BIT,
    MAX_BANKS,
    NOT_LISTED,
    SUMMARY_BYTES,
    SUMMARY_LISTS,
    Flag,
    Opcode,
    Status,
)
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import Command, Error, Irq, Phase
from hotline_hw.spec.words import HIT_FIELD, LAST_FIELD, PAYLOAD_FIELD, ROW_FIELD, TABLE_FIELD

from .core_backend import ModelCore
from .decoder import judge, lookup_bytes
from .gather import Gather, Table
from .windowed_memory import Fault, WindowedMemory
from .working import WorkingLists

__all__ = ["DescriptorModel", "ShellCore"]

_VALUE_BITS = HIT_BIT.low


class ShellCore(ModelCore):
    """The stream core as it stands in the shell: mini-batches come from descriptors, and commands with packets too.

    Attributes:
        raised: errors since this was last cleared, whether or not their bits were set already.
    """

    def __init__(self, geometry: Geometry, *, reference: bool = False) -> None:
        super().__init__(geometry, reference=reference)
        self.raised = Error(0)

    def batch(self, words: np.ndarray, phase: Phase) -> np.ndarray:
        """One mini-batch, in a phase of its own. Its result words in stream order, those of samples mended."""
        self.core.run_batch(words, phase)
        self._phase = phase
        self._irq_status |= Irq.BATCH_DONE
        self._collect_errors()
        return self.core.answers

    def command(self, command: Command, state: np.ndarray | None = None) -> np.ndarray:
        """Runs DUMP, SELECT, or RESTORE with its `state`. The packet that it sends, empty where it sends none."""
        answer = np.empty((0, self.geometry.ways), np.uint64)
        if command == Command.RESTORE:
            assert state is not None, "RESTORE takes a state"
            self.core.restore(state)
        else:
            answer = self.core.dump() if command == Command.DUMP else self.core.select()
        self._collect_errors()
        self._irq_status |= Irq.COMMAND_DONE
        return answer

    def _write_command(self, code: int) -> None:
        if code in (Command.DUMP, Command.RESTORE, Command.SELECT):
            self._raise(Error.COMMAND_CODE)
        else:
            super()._write_command(code)

    def _raise(self, error: Error) -> None:
        self.raised |= error
        super()._raise(error)


@dataclass
class _Outcome:
    """What a completion will tell of the data."""

    fault: Fault | None = None
    working_full: bool = False
    samples: int = 0
    popular_samples: int = 0
    popular_words: int = 0
    nonpopular_words: int = 0
    listed: int = 0
    held: int = 0

    def blame(self, *faults: Fault | None) -> None:
        """The first fault counts."""
        for fault in faults:
            self.fault = self.fault or fault


class DescriptorModel:
    """Carries out descriptors, whole and at once.

    Attributes:
        tables: by number, those that are set up.
        rows_gathered: counter.
    """

    def __init__(self, core: ShellCore, memory: WindowedMemory) -> None:
        self.core, self.memory, self.geometry = core, memory, core.geometry
        self.tables: dict[int, Table] = {}
        self.lists = WorkingLists(core.geometry)
        self.rows_gathered = 0

    def run(self, it: Descriptor) -> Completion:
        """Carries one out. The completion lacks its generation."""
        status = judge(it, self.geometry, self._state_rows, self.memory)
        if status != Status.OK:
            return Completion(tag=it.tag, opcode=it.opcode, status=status)
        out = _Outcome()
        self.core.raised = Error(0)
        match it.opcode:
            case Opcode.LEARN | Opcode.FRONT:
                words, fault = self._lookups(it)
                self.core.batch(words, Phase.LEARN if it.opcode == Opcode.LEARN else Phase.FRONT)
                out.blame(fault)
            case Opcode.CLASSIFY:
                self._classify(it, out)
            case Opcode.GATHER:
                self._gather(it, out)
            case Opcode.DUMP:
                state = self.core.command(Command.DUMP)
                out.listed = len(state)
                out.blame(self.memory.write(it.targets[0], state))
            case Opcode.RESTORE:
                state, _, fault = self.memory.read(it.source, it.count * self.geometry.ways * 8)
                self.core.command(Command.RESTORE, state.view(np.uint64).reshape(it.count, -1))
                out.blame(fault)
            case Opcode.SELECT:
                events = self.core.command(Command.SELECT)[:, : EVENT_BYTES // 8]
                out.listed = len(events)
                out.blame(self.memory.write(it.targets[0], events))
        errors = self.core.raised
        if out.fault:
            status = out.fault.status
        elif errors:
            status = Status.CORE
        elif out.working_full:
            status = Status.WORKING
        return Completion(
            tag=it.tag, opcode=it.opcode, status=status, samples=out.samples, popular_samples=out.popular_samples,
            popular_words=out.popular_words, nonpopular_words=out.nonpopular_words, listed=out.listed, held=out.held,
            errors=int(errors), address=out.fault.address if out.fault else 0,
        )  # fmt: skip

    @property
    def _state_rows(self) -> int:
        return self.geometry.state_rows_per_set << self.core.core.index_bits

    def _lookups(self, it: Descriptor) -> tuple[np.ndarray, Fault | None]:
        """Lookup words, uint64 [n]: those that could be read."""
        size = lookup_bytes(it)
        data, good, fault = self.memory.read(it.source, it.count * size)
        if size == 4:
            table = np.arange(it.count, dtype=np.uint64) % np.uint64(it.operand)
            words = data.view(np.uint32).astype(np.uint64) << np.uint64(ROW_FIELD.low)
            words |= table << np.uint64(TABLE_FIELD.low)
            words |= (table == it.operand - 1).astype(np.uint64) << np.uint64(LAST_FIELD.low)
        else:
            words = data.view(np.uint64)
        return words if good is None else words[good[::size]], fault

    def _classify(self, it: Descriptor, out: _Outcome) -> None:
        words, fault = self._lookups(it)
        results = self.core.batch(words, Phase.RELEARN if it.flags & Flag.LEARN else Phase.CLASSIFY)
        hit = results >> np.uint64(HIT_FIELD.low) & np.uint64(1) == 1
        last = results >> np.uint64(LAST_FIELD.low) == 1
        places = np.full(len(results), NOT_LISTED, np.int64)
        known = ~hit & (words & self._illegal == 0)
        places[known] = self.lists.list_batch(results[known] & np.uint64(PAYLOAD_FIELD.mask))

        value = np.where(hit, (results & np.uint64(ROW_FIELD.mask)).astype(np.int64), places)
        value |= hit.astype(np.int64) << HIT_BIT.low | last.astype(np.int64) << LAST_BIT.low
        short = value.astype(np.uint32)
        sample_of = np.cumsum(last) - last  # of each lookup
        popular = np.bincount(sample_of, ~hit) == 0
        of_popular = popular[sample_of]

        counts, banks = self.lists.counts, self.geometry.banks
        summary, half = it.targets[2], SUMMARY_BYTES // 2
        bits = np.packbits(np.append(popular, np.zeros(-len(popular) % 32, bool)), bitorder="little")
        out.working_full = self.lists.full
        out.samples, out.popular_samples = len(popular), int(popular.sum())
        out.popular_words, out.nonpopular_words = int(of_popular.sum()), int((~of_popular).sum())
        out.listed, out.held = int(counts[:MAX_BANKS].sum()), int(counts[MAX_BANKS:SUMMARY_LISTS].sum())
        out.blame(
            fault,
            self.memory.write(it.targets[0], short[of_popular]),
            self.memory.write(it.targets[1], short[~of_popular]),
            self.memory.write(summary + SUMMARY_BYTES, bits),
            self.memory.write(summary, counts[:banks].astype(np.uint32)),
            self.memory.write(summary + half, counts[MAX_BANKS : MAX_BANKS + banks].astype(np.uint32)),
        )

    @property
    def _illegal(self) -> np.uint64:
        """Bits that no lookup in range has."""
        g = self.geometry
        legal = 1 << LAST_FIELD.low | (1 << g.table_bits) - 1 << TABLE_FIELD.low | (1 << g.row_bits) - 1
        return np.uint64(~legal & (1 << 64) - 1)

    def _gather(self, it: Descriptor, out: _Outcome) -> None:
        if it.flags & Flag.LIST:
            names, fault = self._lookups(it)
            out.blame(fault)
        else:
            names = self.lists.keys(bool(it.flags & Flag.HELD))
        gather = Gather(it, names, self.tables, self.memory)
        out.listed = gather.read
        self.rows_gathered += gather.read
        out.blame(gather.fault)
