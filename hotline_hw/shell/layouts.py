"""Layouts of what flows between the blocks of the shell. The widths come from `Geometry`. A granule is 16 bytes.

Sequencer, RowWalker --read_request--> ReadEngine --read_beat--> lookups and state to the core
                                                   '-----------> GranulePacker --row_beat-->
                                                                 GranulePacker --write_beat--> WriteEngine
"""

from __future__ import annotations

from collections.abc import Iterable

from amaranth.lib import data, enum, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.spec.descriptors import COMPLETION, DESCRIPTOR, EntryField
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import ROW_FIELD, TABLE_FIELD

__all__ = [
    "CHANNELS", "COUNT_BITS", "EXTENT_BITS", "MAIN", "OTHER", "SMALL", "Fault", "ReadTarget", "axi_signature",
    "completion_layout", "descriptor_layout", "fault_signature", "lists_signature", "named_row", "read_beat",
    "read_request", "row_beat", "single_word", "table_entry", "window_signature", "write_beat",
]  # fmt: skip

COUNT_BITS = 27
"""Width of a number of lookups, up to 2^26."""

EXTENT_BITS = 28
"""Width of a length in granules: 4 GiB."""

MAIN, OTHER, SMALL = range(3)
"""Channels of WriteEngine.

MAIN: popular words, rows, state, events.
OTHER: non-popular words, keys.
SMALL: summary, completions.
"""
CHANNELS = 3


class ReadTarget(enum.Enum, shape=2):  # type: ignore[call-arg]
    """Destination of a read; returned with each beat."""

    DESCRIPTOR = 0
    STREAM = 1  # lookups, or state to be restored
    LIST = 2  # lookups of a GATHER with LIST
    ROW = 3


class Fault(enum.Enum, shape=2):  # type: ignore[call-arg]
    """Why an access failed."""

    NONE = 0
    WINDOW = 1
    BUS = 2  # SLVERR or DECERR
    ABORT = 3


def descriptor_layout() -> data.StructLayout:
    """A descriptor, as `spec.descriptors` says."""
    return _entry(DESCRIPTOR)


def completion_layout() -> data.StructLayout:
    """A completion, as `spec.descriptors` says."""
    return _entry(COMPLETION)


def _entry(fields: Iterable[EntryField]) -> data.StructLayout:
    return data.StructLayout({f.name: f.bits if f.number == 1 else data.ArrayLayout(f.bits, f.number) for f in fields})


def named_row() -> data.StructLayout:
    """A row by name."""
    return data.StructLayout({"row": ROW_FIELD.width, "table": TABLE_FIELD.width})


def table_entry() -> data.StructLayout:
    """The place of an embedding table: granule of its row 0, number of rows, granules from a row to the next."""
    return data.StructLayout({"base": 60, "rows": 32, "stride": 16})


def single_word(bits: int) -> data.StructLayout:
    """A word if `some` is high, else nothing. `last` ends the packet."""
    return data.StructLayout({"word": bits, "some": 1, "last": 1})


def read_request(geometry: Geometry) -> data.StructLayout:
    """A request to read `granules` 16-byte granules, at least one. `address` is a multiple of 16."""
    return data.StructLayout({"address": 64, "granules": EXTENT_BITS, "target": ReadTarget})


def read_beat(geometry: Geometry) -> data.StructLayout:
    """A bus beat. Granules `first` to `first + count - 1` of it were asked for.

    last: this beat ends the request.
    fault: the beat could not be read. Its data is zero.
    """
    return data.StructLayout(
        {
            "data": geometry.axi_bits,
            "first": range(max(2, geometry.granules)),
            "count": range(geometry.granules + 1),
            "target": ReadTarget,
            "last": 1,
            "fault": 1,
        }
    )


def row_beat(geometry: Geometry) -> data.StructLayout:
    """Part of a row: `count` granules from the bottom. `row_last` ends the row."""
    return data.StructLayout({"data": geometry.axi_bits, "count": range(geometry.granules + 1), "row_last": 1})


def write_beat(geometry: Geometry) -> data.StructLayout:
    """Data for consecutive addresses: `words` 32-bit words from the bottom.

    Every beat but the last is full. `last` ends the packet. A last beat may have no words.
    """
    return data.StructLayout({"data": geometry.axi_bits, "words": range(geometry.axi_bits // 32 + 1), "last": 1})


def lists_signature(geometry: Geometry) -> wiring.Signature:
    """Counts of the core's lists of cold rows, on their way to the summary.

    bank, held: a list.
    ask: its count is asked for.
    push: the count goes to the channel.
    last: it is the packet's last word.
    ready: the channel takes it.
    """
    return wiring.Signature(
        {
            "bank": Out(range(geometry.banks)),
            "held": Out(1),
            "ask": Out(1),
            "push": Out(1),
            "last": Out(1),
            "ready": In(1),
        }
    )


def window_signature() -> wiring.Signature:
    """A memory window, as its registers give it: pages `page` to `page + pages - 1` of 4 KiB."""
    return wiring.Signature({"page": Out(52), "pages": Out(32), "read": Out(1), "write": Out(1)})


def fault_signature() -> wiring.Signature:
    """A failed access.

    kind: other than NONE for a cycle when an access fails.
    address: the address of the burst, if `known`.
    """
    return wiring.Signature({"kind": Out(Fault), "address": Out(64), "known": Out(1)})


def axi_signature(geometry: Geometry, id_bits: int | None = None) -> wiring.Signature:
    """An AXI4 manager. Its ids are as wide as tags, or `id_bits`."""
    ids, bits = geometry.tag_id_bits if id_bits is None else id_bits, geometry.axi_bits
    address = {
        "id": Out(ids), "addr": Out(64), "len": Out(8), "size": Out(3), "burst": Out(2), "lock": Out(1),
        "cache": Out(4), "prot": Out(3), "qos": Out(4), "valid": Out(1), "ready": In(1),
    }  # fmt: skip
    channels = {
        "aw": address,
        "w": {"data": Out(bits), "strb": Out(bits // 8), "last": Out(1), "valid": Out(1), "ready": In(1)},
        "b": {"id": In(ids), "resp": In(2), "valid": In(1), "ready": Out(1)},
        "ar": address,
        "r": {"id": In(ids), "data": In(bits), "resp": In(2), "last": In(1), "valid": In(1), "ready": Out(1)},
    }  # fmt: skip
    return wiring.Signature({c + name: member for c, members in channels.items() for name, member in members.items()})
