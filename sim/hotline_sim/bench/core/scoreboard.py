"""The scoreboard: the golden model beside the core, and the answers that the core must give."""

from __future__ import annotations

from collections import deque

import numpy as np

from hotline_hw.spec.params import Geometry
from hotline_hw.spec.policy import Policy
from hotline_hw.spec.regmap import Command, Error, Irq, Phase
from hotline_hw.spec.words import HIT_FIELD, LAST_FIELD, ROW_FIELD, SAMPLE_FIELD, TABLE_FIELD, WORD_BYTES, Field

from .coverage import SIDES, Coverage
from .coverage_sample_aware import WatchedCore
from .packets import LookupPacket

__all__ = ["Scoreboard"]

_FIELDS = {"last": LAST_FIELD, "hit": HIT_FIELD, "sample": SAMPLE_FIELD, "table": TABLE_FIELD, "row/slot": ROW_FIELD}


class Scoreboard:
    """Follows what is sent to the core, and compares its answers with the golden model's.

    Attributes:
        model: the golden model, in the state that the core has after everything that was sent.
        errors, irq: the expected values of ERROR and IRQ_STATUS.
        coverage: counts what was seen.
    """

    def __init__(self, geometry: Geometry, coverage: Coverage | None = None) -> None:
        self.geometry = geometry
        self.coverage = coverage or Coverage(geometry)
        self.reset()

    def reset(self) -> None:
        """The core was reset: it is in its initial state, and its packets are lost."""
        self.model = WatchedCore(self.geometry, self.coverage.hit)
        self.errors = Error(0)
        self.irq = Irq(0)
        self._due: dict[str, deque[np.ndarray]] = {side: deque() for side in SIDES}
        self._received = dict.fromkeys(SIDES, 0)

    @property
    def outstanding(self) -> int:
        """Result packets that have not arrived."""
        return sum(len(packets) for packets in self._due.values())

    # What the core was told

    def expect(self, packet: LookupPacket, phase: int) -> None:
        """A mini-batch is sent; CONTROL will hold `phase` when it starts."""
        model = self.model
        lookups = packet.lookups()
        carried_out = Phase(phase)
        self.coverage.offered(model, packet, carried_out)
        results = dict(zip(SIDES, model.run_batch(lookups, phase), strict=True))
        model.learned(lookups, packet.beat_of_lookup())
        if carried_out in (Phase.CLASSIFY, Phase.RELEARN):
            self.coverage.classified(packet, results, carried_out)
        for side, words in results.items():
            self._due[side].append(words)
        self.irq |= Irq.BATCH_DONE
        self.collect_errors()

    def policy(self, policy: Policy) -> None:
        """The registers of the policy were written to an idle core."""
        self.model.policy.__dict__.update(vars(policy))

    def command(self, command: Command) -> None:
        """A command was accepted."""
        self.coverage.hit(f"command_{command.name}")
        if command == Command.CLEAR:
            self.model.clear()
        elif command == Command.RESET_COUNTERS:
            self.model.reset_counters()
        self.irq |= Irq.COMMAND_DONE

    def hot_rows(self, hot_rows: int) -> None:
        """HOT_ROWS was written to an idle core."""
        if self.model.set_hot_rows(hot_rows):
            self.coverage.hit("command_HOT_ROWS")
            self.irq |= Irq.COMMAND_DONE
        self.collect_errors()

    def restore(self, rows: np.ndarray) -> None:
        """RESTORE was carried out with `rows`, uint64 [any, ways]."""
        self.model.restore(rows)
        self.command(Command.RESTORE)
        self.collect_errors()

    def select(self) -> np.ndarray:
        """SELECT was carried out; returns the packet that answers it, uint64 [events + 1, ways]."""
        self.command(Command.SELECT)
        return self.model.select()

    def error(self, error: Error) -> None:
        """An error must have been raised."""
        for flag in error:
            self.coverage.hit(f"error_{flag.name}")
        self.errors |= error
        if error:
            self.irq |= Irq.ERROR

    def collect_errors(self) -> None:
        """Moves the errors of the model to the scoreboard."""
        errors, self.model.errors = self.model.errors, Error(0)
        self.error(errors)

    # What the core answered

    def receive(self, side: str, tdata: bytes, tkeep: list[int]) -> None:
        """A packet was received from a result stream, with a `tkeep` bit for each byte.

        Raises:
            AssertionError: it is not the expected packet; the message shows the first word that differs.
        """
        number = self._received[side]
        where = f"m_axis_{side}, packet {number}"
        words = self._dense_words(where, tdata, tkeep)
        assert self._due[side], f"{where}: {len(words)} words that nobody expects"
        self._received[side] += 1
        due = self._due[side].popleft()
        for index, (got, want) in enumerate(zip(words.tolist(), due.tolist(), strict=False)):
            assert got == want, f"{where}, word {index} of {len(due)}: {_show(got)}; it must be {_show(want)}"
        assert len(words) == len(due), f"{where}: {len(words)} words; it must have {len(due)}"

    def _dense_words(self, where: str, tdata: bytes, tkeep: list[int]) -> np.ndarray:
        """The words of a packet, uint64 [n], after a check that all beats but the last are full."""
        keep = np.array(tkeep, np.uint8).reshape(-1, WORD_BYTES)
        assert (keep == keep[:, :1]).all(), f"{where}: a word with some of its tkeep bits"
        kept = keep[:, 0].astype(bool)
        count = int(kept.sum())
        assert kept[:count].all(), f"{where}: a gap between words"
        beats = max(1, -(-count // self.geometry.lanes))
        assert len(kept) == beats * self.geometry.lanes, f"{where}: {len(kept)} word places for {count} words"
        return np.frombuffer(tdata, "<u8")[:count]


def _get(word: int, field: Field) -> int:
    return word >> field.low & field.mask


def _show(word: int) -> str:
    return " ".join(f"{name}={_get(word, field):#x}" for name, field in _FIELDS.items())
