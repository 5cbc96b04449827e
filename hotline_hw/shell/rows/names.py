"""The rows that a GATHER names. They are in the core's lists of cold rows, or in a list in memory."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Mux, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.input.key_hash import KeyUnhash
from hotline_hw.shell.layouts import COUNT_BITS, ReadTarget, named_row, read_beat, read_request
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.words import ROW_FIELD, TABLE_FIELD, WORD_BITS

__all__ = ["LIST_WORDS", "ListNames", "MemoryNames"]

_KEYS_AHEAD = 16  # keys on their way from the lists: as many as it takes cycles for one to come back, and more
_LIST_LATENCY = 2  # of HotlineCore's list_key
LIST_WORDS = 256
"""The number of words of a list in memory that fit on the chip at a time."""
_CHUNK_WORDS = 32  # asked for at a time
_CHUNK_BITS = _CHUNK_WORDS.bit_length() - 1
_HALF = 32  # an address goes on in two halves


class ListNames(wiring.Component):
    """Walks the lists of unique cold rows, bank by bank, and turns their keys back into names.

        list_key --> KeyUnhash --> FIFO --> output

    A key is asked for if there is room for its name. So nothing stops between the lists and the FIFO.

    Ports:
        start: begins a walk.
        held: high: the walk is over the held lists. Low: over the free ones.
        stop: no further name comes.
        list_*: HotlineCore's lists.
        output: payload `named_row`.
        done: all names have been taken.

    Throughput: a name a cycle. Each list takes three cycles more.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "start": In(1),
                "held": In(1),
                "stop": In(1),
                "list_bank": Out(range(geometry.banks)),
                "list_held": Out(1),
                "list_number": Out(geometry.local_bits),
                "list_count": In(geometry.local_bits + 1),
                "list_key": In(geometry.key_bits),
                "output": Out(stream.Signature(named_row())),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        m.submodules.keys = keys = fifo.SyncFIFOBuffered(width=g.key_bits, depth=_KEYS_AHEAD)
        m.submodules.unhash = unhash = KeyUnhash(key_bits=g.key_bits)
        walking = Signal()
        issued = Signal()
        popped = Signal()
        number = Signal(g.local_bits + 1)
        count = Signal(g.local_bits + 1)
        wait = Signal(range(3))
        ahead = Signal(range(_KEYS_AHEAD + 1))
        coming = Signal(_LIST_LATENCY + KeyUnhash.LATENCY)
        m.d.comb += [
            self.list_number.eq(number),
            unhash.enable.eq(1),
            unhash.mixed.eq(self.list_key),
            keys.w_data.eq(unhash.key),
            keys.w_en.eq(coming[-1]),
        ]
        m.d.sync += [coming.eq(Cat(issued, coming)), ahead.eq(ahead + issued - popped)]
        with m.If(self.start):
            m.d.sync += [walking.eq(1), self.list_bank.eq(0), self.list_held.eq(self.held), number.eq(0), wait.eq(2)]
        with m.Elif(self.stop):
            m.d.sync += walking.eq(0)
        with m.Elif(walking):
            with m.If(wait != 0):  # until the list's count is there
                m.d.sync += [wait.eq(wait - 1), count.eq(self.list_count)]
            with m.Elif(number == count):
                m.d.sync += [
                    self.list_bank.eq(self.list_bank + 1), number.eq(0), wait.eq(2),
                    walking.eq(self.list_bank != g.banks - 1),
                ]  # fmt: skip
            with m.Elif(ahead != _KEYS_AHEAD):
                m.d.comb += issued.eq(1)
                m.d.sync += number.eq(number + 1)

        m.d.comb += [
            keys.r_en.eq(self.output.ready),
            popped.eq(self.output.ready & keys.r_rdy),
            self.output.valid.eq(keys.r_rdy),
            self.output.payload.row.eq(keys.r_data[: g.row_bits]),
            self.output.payload.table.eq(keys.r_data[g.row_bits :]),
            self.done.eq(~walking & (ahead == 0)),
        ]
        return m


class MemoryNames(wiring.Component):
    """Reads a list of lookup words from memory, well ahead of its consumer.

    Ports:
        start: begins with `count` words at `source`.
        source: address of the list, a multiple of BUFFER_ALIGN.
        count: number of words.
        stop: no further name comes, and an offered name is withdrawn.
        request: payload `read_request`.
        data: payload `read_beat`, in answer to the requests. A fault stops the list.
        output: payload `named_row`.
        done: all names have been taken, and no data is due.

    Throughput: a name a cycle. Three cycles pass between requests.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "start": In(1),
                "source": In(64),
                "count": In(COUNT_BITS),
                "stop": In(1),
                "request": Out(stream.Signature(read_request(geometry))),
                "data": In(stream.Signature(read_beat(geometry))),
                "output": Out(stream.Signature(named_row())),
                "done": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        per_beat = g.axi_bits // WORD_BITS
        depth = LIST_WORDS // per_beat
        m.submodules.words = words = fifo.SyncFIFOBuffered(width=g.axi_bits, depth=depth)
        to_ask = Signal(COUNT_BITS)
        left = Signal(COUNT_BITS)
        some = Signal()  # left != 0
        final = Signal()  # left == 1
        room = Signal(range(depth + 1), init=depth)  # beats that may be asked for
        due = Signal(range(depth + 1))  # beats that were, and have not come
        chunk = Signal(range(_CHUNK_WORDS + 1))
        beats = Signal(range(_CHUNK_WORDS // per_beat + 1))
        settled = Signal(2)  # `chunk` and the address are those of `to_ask`; a cycle later so are `beats` and `rest`
        rest = Signal(COUNT_BITS)  # of to_ask, behind the chunk
        full = Signal()  # there may be no room for a chunk
        carry = Signal()  # of the address's lower half
        asked = Signal()
        came = Signal()
        taken = Signal()
        popped = Signal()
        place = Signal(range(per_beat))
        request, out = self.request.payload, self.output.payload
        word = Signal(WORD_BITS)
        m.d.comb += [
            request.granules.eq((chunk + 1) >> 1),
            request.target.eq(ReadTarget.LIST),
            asked.eq(self.request.valid & self.request.ready),
            came.eq(self.data.valid),
            self.data.ready.eq(1),
            words.w_data.eq(self.data.payload.data),
            words.w_en.eq(came),
            word.eq(words.r_data.word_select(place, WORD_BITS)),
            self.output.valid.eq(words.r_rdy & some),
            out.row.eq(word[ROW_FIELD.low : ROW_FIELD.high + 1]),
            out.table.eq(word[TABLE_FIELD.low : TABLE_FIELD.high + 1]),
            taken.eq(self.output.valid & self.output.ready),
            words.r_en.eq((taken & ((place == per_beat - 1) | final)) | ~some),
            popped.eq(words.r_en & words.r_rdy),
        ]
        stopping = self.stop | (came & self.data.payload.fault)
        step = _CHUNK_WORDS * WORD_BITS // 8
        address = request.address
        low, high = address[step.bit_length() - 1 : _HALF], address[_HALF:]
        m.d.sync += [
            settled.eq(Cat(1, settled)),
            beats.eq((chunk + per_beat - 1) >> (per_beat - 1).bit_length()),
            rest.eq(to_ask - chunk),
            full.eq(room < _CHUNK_WORDS // per_beat),
            carry.eq(0),
            high.eq(high + carry),
            self.done.eq(~self.start & ~some & (to_ask == 0) & (due == 0) & (room == depth)),
            chunk.eq(Mux(to_ask[_CHUNK_BITS:].any(), _CHUNK_WORDS, to_ask[:_CHUNK_BITS])),
            room.eq(room - Mux(asked, beats, 0) + popped),
            due.eq(due + Mux(asked, beats, 0) - came),
        ]
        with m.If(self.start | asked):
            m.d.sync += [settled.eq(0), self.request.valid.eq(0)]
        with m.Elif(settled.all() & (chunk != 0) & ~full & ~stopping):
            m.d.sync += self.request.valid.eq(1)
        with m.If(self.start):
            m.d.sync += [request.address.eq(self.source), to_ask.eq(self.count), left.eq(self.count), place.eq(0)]
            m.d.sync += [some.eq(self.count != 0), final.eq(self.count == 1)]
        with m.Elif(stopping):
            # A request that is offered stays until it is taken.
            m.d.sync += [to_ask.eq(Mux(self.request.valid & ~asked, chunk, 0)), rest.eq(0), left.eq(0), some.eq(0)]
        with m.Else():
            with m.If(asked):
                m.d.sync += [Cat(low, carry).eq(low + 1), to_ask.eq(rest)]
            with m.If(taken):
                m.d.sync += [some.eq(~final), final.eq(left == 2)]
                m.d.sync += [left.eq(left - 1), place.eq(Mux(place == per_beat - 1, 0, place + 1))]
        return m
