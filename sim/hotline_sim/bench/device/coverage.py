"""Functional coverage of the whole device: named coverpoints, and a watcher of the AXI manager that counts some."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from hotline_device.ring_entries import Completion, Descriptor
from hotline_hw.spec.descriptors import BUFFER_ALIGN, GRANULE_BYTES, Flag, Opcode, Status
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.shell_registers import DmaError

__all__ = ["BUS_ERRORS", "REFUSALS", "STATUSES", "DeviceCoverage", "device_coverpoints"]

REFUSALS = (Status.OPCODE, Status.ALIGNMENT, Status.LENGTH, Status.WINDOW)

STATUSES: dict[Opcode, tuple[Status, ...]] = {
    Opcode.FENCE: (Status.OK, Status.OPCODE),
    Opcode.LEARN: (Status.OK, *REFUSALS, Status.READ, Status.CORE, Status.ABORTED),
    Opcode.CLASSIFY: (
        Status.OK, *REFUSALS, Status.READ, Status.WRITE, Status.CORE, Status.WORKING, Status.ABORTED,
    ),
    Opcode.GATHER: (
        Status.OK, *REFUSALS, Status.READ, Status.WRITE, Status.TABLE, Status.ROW, Status.ABORTED,
    ),
    Opcode.DUMP: (Status.OK, Status.OPCODE, Status.ALIGNMENT, Status.WINDOW, Status.WRITE, Status.ABORTED),
    Opcode.RESTORE: (Status.OK, *REFUSALS, Status.READ, Status.CORE, Status.ABORTED),
    Opcode.FRONT: (Status.OK, *REFUSALS, Status.READ, Status.CORE, Status.ABORTED),
    Opcode.SELECT: (Status.OK, Status.OPCODE, Status.ALIGNMENT, Status.WINDOW, Status.WRITE, Status.ABORTED),
}  # fmt: skip
"""How each opcode can end."""

BUS_ERRORS = {
    "lookups": "lookups read", "state_read": "state read", "list": "a GATHER's list read", "rows": "rows read",
    "results": "result words written", "summary": "a summary written", "keys": "keys written",
    "gathered": "gathered rows written", "state_written": "state written", "events": "events written",
    "descriptor": "a descriptor read", "completion": "a completion written",
}  # fmt: skip
"""What SLVERR and DECERR answer."""

_BURSTS = {"1": "a single beat", "some": "2 to 15 beats", "16": "16 beats"}
_ROWS = {
    "row_in_a_beat": "GATHER of rows of a beat or less",
    "row_over_beats": "GATHER of rows of several beats",
    "row_largest": "GATHER of rows of 4096 bytes",
    "row_over_pages": "a row on both sides of a 4 KiB boundary",
    "gather_nothing": "GATHER of no row: an empty list",
    "gather_held": "GATHER with HELD of some rows",
    "gather_keys": "GATHER with KEYS of some rows",
    "gather_again": "GATHER of lists that were gathered before",
}
_MID_BEAT = {"row_begins_in_mid_beat": "a row that does not begin with a beat"}
_LOOKUPS = {
    "lookups_64": "a mini-batch of 64-bit lookup words",
    "lookups_64_odd": "an odd number of them",
    "lookups_32_below_lanes": "a mini-batch of 32-bit rows of fewer tables than lanes",
    "lookups_32_at_lanes": "of as many",
    "lookups_32_above_lanes": "of more",
    "lookups_32_odd": "one that ends in mid-beat",
    "relearn": "CLASSIFY with LEARN",
}
_RESULTS = {
    "popular_empty": "CLASSIFY without a popular sample",
    "nonpopular_empty": "CLASSIFY without a non-popular sample",
    "both_packets": "CLASSIFY with both",
    "rows_held": "CLASSIFY of rows that were in the lists of the mini-batch before",
    "lists_full": "CLASSIFY that fills a bank's lists",
    "verdicts_many_words": "more than 32 samples in a mini-batch",
    "select_moves": "SELECT with events beside the closing one",
}
_MEMORY = {
    "read_at_4k": "a read extent cut by a 4 KiB boundary",
    "write_at_4k": "a write extent cut by a 4 KiB boundary",
    "read_at_4g": "a read extent across a 4 GiB boundary",
    "write_at_4g": "a write extent across a 4 GiB boundary",
    "at_the_top": "an access to the last byte of 64-bit addresses",
    "reads_overtake": "a read answered after one that was asked for later",
    "reads_interleaved": "R beats of two bursts interleaved",
    "writes_overtake": "a B after that of a later burst",
    "read_tags_all": "as many reads outstanding as there are tags",
    "ar_waits": "AR not accepted at once",
    "memory_refuses_reads": "AR held back with as many reads outstanding as memory takes",
    "aw_waits": "AW not accepted at once",
    "w_waits": "W not accepted at once",
    "w_before_aw": "W taken before its AW was",
    "partial_strobes": "a W beat of which some bytes are not written",
    "read_beside_write": "a read and a write outstanding at once",
}
_RINGS = {
    "ring_wraps": "descriptors on both sides of the ring's end",
    "generation_0": "a completion of an even round",
    "ring_of_one": "rings of one entry",
    "many_at_once": "a doorbell for as many descriptors as the ring has",
    "completions_full": "descriptors that wait for room for completions",
    "doorbell_while_running": "a doorbell while a descriptor is under way",
    "coalesced_by_count": "an interrupt with as many completions as DMA_COALESCE says",
    "coalesced_by_time": "an interrupt after DMA_DELAY cycles",
    "interrupt_flag": "an interrupt because of INTERRUPT, before DMA_COALESCE's count",
    "no_interrupt_yet": "completions that wait without an interrupt",
    "restart": "rings that were disabled and enabled anew",
}
_HOST = {
    "command_beside_gather": "CLEAR or HOT_ROWS accepted while a GATHER runs",
    "command_refused": "a command refused because the core is busy with a descriptor",
    "window_removed": "a window taken away while a GATHER reads there",
    "windows_adjacent": "a buffer across two adjacent windows",
    "window_edges": "a buffer that fills a window to its last byte",
    "core_clock_stopped": "the core's clock stopped while reads are outstanding",
    "core_clock_tied": "a descriptor with the core's clock the same as the device's",
}
_RESET_ALONE = {
    "reset_reads_due": "rst of the device alone with reads outstanding",
    "reset_writes_due": "rst of the device alone with writes outstanding",
    "reset_while_quiescing": "rst again while bursts from before a reset are outstanding",
    "reset_by_register": "a RESET",
    "strobes_off": "a W beat without a strobe: promised before a reset",
}
_INSIDE = {"index_wraps": "a ring index from 65535 to 0"}


def device_coverpoints(geometry: Geometry, inside: bool = False) -> dict[str, str]:
    """Name and meaning of every coverpoint. `inside`: also those that need a simulator which shows internal signals."""
    ends = [(op.name, status.name) for op in Opcode for status in STATUSES[op]]
    return {
        **{f"{op}_{status}": f"{op} that ended {status}" for op, status in ends},
        "unknown_OPCODE": "an opcode that does not exist",
        **(_MID_BEAT if geometry.granules > 1 else {}),
        **_ROWS, **_LOOKUPS, **_RESULTS,
        **{f"{kind}_burst_{size}": f"a {kind} burst of {what}" for kind in ("read", "write") for size, what in
           _BURSTS.items()},
        **_MEMORY,
        **{f"{name}_{answer}": f"{what}: {answer.upper()}" for name, what in BUS_ERRORS.items()
           for answer in ("slverr", "decerr")},
        **{f"error_{error.name}": f"DMA_ERROR.{str(error.name).lower()} raised" for error in DmaError},
        **_RINGS,
        **{f"reset_in_{op.name}": f"rst in the middle of a {op.name}" for op in Opcode if op != Opcode.FENCE},
        **_RESET_ALONE,
        **_HOST,
        **(_INSIDE if inside else {}),
    }  # fmt: skip


class DeviceCoverage:
    """How often each coverpoint was met, by all benches of a simulation."""

    def __init__(self, geometry: Geometry, inside: bool = False) -> None:
        self.geometry = geometry
        self.meanings = device_coverpoints(geometry, inside)
        self.counts: Counter[str] = Counter()
        self._gathered = False  # whether the present lists were gathered

    def hit(self, name: str, times: int = 1) -> None:
        """Counts `times` events of a coverpoint.

        Raises:
            KeyError: there is no such coverpoint.
        """
        if name not in self.meanings:
            raise KeyError(f"no coverpoint {name!r}")
        self.counts[name] += int(times)

    def missing(self) -> list[str]:
        return [name for name in self.meanings if not self.counts[name]]

    def table(self) -> str:
        """The table of all coverpoints, one a line: count, name and meaning. `!` marks those that were not met."""
        lines = [
            f"{self.counts[name]:>8}{' ' if self.counts[name] else '!'} {name:<24} {meaning}"
            for name, meaning in self.meanings.items()
        ]
        met = len(self.meanings) - len(self.missing())
        return "\n".join([*lines, f"{met} of {len(self.meanings)} coverpoints met"])

    def write(self, path: Path) -> None:
        """Writes the table, also if the simulation did not finish."""
        path.write_text(f"{self.table()}\n")

    def completed(self, it: Descriptor, done: Completion) -> None:
        """Counts coverpoints of a descriptor and its completion."""
        status = Status(done.status)
        if it.opcode not in list(Opcode):
            self.hit("unknown_OPCODE", status == Status.OPCODE)
            return
        if status in STATUSES[Opcode(it.opcode)]:
            self.hit(f"{Opcode(it.opcode).name}_{status.name}")
        if status not in (Status.OK, Status.WORKING):
            return
        match it.opcode:
            case Opcode.LEARN | Opcode.CLASSIFY | Opcode.FRONT:
                self._batch(it)
                if it.opcode == Opcode.CLASSIFY:
                    self._classified(it, done)
            case Opcode.GATHER:
                self._rows(it, done)
            case Opcode.SELECT:
                self.hit("select_moves", done.listed > 1)

    def _batch(self, it: Descriptor) -> None:
        lanes = self.geometry.lanes
        if not it.operand:
            self.hit("lookups_64")
            self.hit("lookups_64_odd", it.count % 2)
            return
        self.hit("lookups_32_below_lanes", it.operand < lanes)
        self.hit("lookups_32_at_lanes", it.operand == lanes)
        self.hit("lookups_32_above_lanes", it.operand > lanes)
        self.hit("lookups_32_odd", 4 * it.count % self.geometry.axi_bytes != 0)

    def _classified(self, it: Descriptor, done: Completion) -> None:
        self._gathered = False
        self.hit("relearn", bool(it.flags & Flag.LEARN))
        self.hit("popular_empty", not done.popular_words)
        self.hit("nonpopular_empty", not done.nonpopular_words)
        self.hit("both_packets", bool(done.popular_words and done.nonpopular_words))
        self.hit("rows_held", done.held)
        self.hit("lists_full", done.status == Status.WORKING)
        self.hit("verdicts_many_words", done.samples > 32)

    def _rows(self, it: Descriptor, done: Completion) -> None:
        self.hit("gather_nothing", not done.listed)
        if not done.listed:
            return
        self.hit("row_in_a_beat", it.operand <= self.geometry.axi_bytes)
        self.hit("row_over_beats", it.operand > self.geometry.axi_bytes)
        self.hit("row_largest", it.operand == 4096)
        if not it.flags & Flag.LIST:
            self.hit("gather_held", bool(it.flags & Flag.HELD))
            self.hit("gather_keys", bool(it.flags & Flag.KEYS))
            self.hit("gather_again", self._gathered)
            self._gathered = True

    def row_at(self, address: int, size: int) -> None:
        """Counts coverpoints of a row that was gathered."""
        self.hit("row_over_pages", address >> 12 != address + size - 1 >> 12)
        if self.geometry.axi_bytes > GRANULE_BYTES:
            self.hit("row_begins_in_mid_beat", address % min(self.geometry.axi_bytes, BUFFER_ALIGN) != 0)
