"""BagReducer: the sums, or the means, of runs of rows."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.lib.blocks import place
from hotline_hw.shell.layouts import row_beat
from hotline_hw.spec.descriptors import GRANULE_BYTES, MAX_MEAN_ROWS, MAX_POOL_BYTES
from hotline_hw.spec.params import Geometry

from .float_add import FloatAdder
from .float_div import FloatDivider

__all__ = ["BagReducer"]

_FLOAT_BITS = 32
_MINUS_ZERO = 1 << 31  # x + -0 is x, whatever x is


class _Sums(wiring.Component):
    """The sums so far of a bag, one for each beat of a row.

    Ports:
        add: `addend` is added to the sum of beat `at`, or with `first` begins it.
        read_at, total: the sum of that beat. pending: no, it is still being added to. An `add` that is not `first` adds
            to `total`: then `read_at` must be `at`, and `pending` low.
        busy: additions are under way.
    """

    def __init__(self, beats: int, bits: int) -> None:
        self.beats, self.bits = beats, bits
        super().__init__(
            {
                "add": In(1), "first": In(1), "addend": In(bits), "at": In(range(beats)),
                "read_at": In(range(beats)), "total": Out(bits), "pending": Out(1), "busy": Out(1),
            }
        )  # fmt: skip

    def elaborate(self, platform: object) -> Module:
        m = Module()
        stages = FloatAdder.LATENCY
        m.submodules.store = store = memory.Memory(shape=self.bits, depth=self.beats, init=[])
        write, read = store.write_port(), store.read_port(domain="comb")
        # What each of the adders' stages holds: whether a beat, and which. The last one's is written.
        adding = Signal(stages)
        beats = [Signal(range(self.beats), name=f"beat{stage}", reset_less=True) for stage in range(stages)]
        m.d.sync += [
            adding.eq(Cat(self.add, adding[:-1])),
            *(later.eq(earlier) for earlier, later in zip([self.at, *beats], beats, strict=False)),
        ]
        m.d.comb += [
            write.addr.eq(beats[-1]),
            write.en.eq(adding[-1]),
            read.addr.eq(self.read_at),
            self.total.eq(Mux(write.en & (write.addr == self.read_at), write.data, read.data)),
            self.pending.eq(Cat(adding[stage] & (beats[stage] == self.read_at) for stage in range(stages - 1)).any()),
            self.busy.eq(adding.any()),
        ]
        for lane in range(self.bits // _FLOAT_BITS):
            adder = FloatAdder()
            place(m, platform, f"adder{lane}", adder, "float_adder")
            m.d.comb += [
                adder.a.eq(self.addend.word_select(lane, _FLOAT_BITS)),
                adder.b.eq(Mux(self.first, _MINUS_ZERO, self.total.word_select(lane, _FLOAT_BITS))),
                write.data.word_select(lane, _FLOAT_BITS).eq(adder.sum),
            ]
        return m


class BagReducer(wiring.Component):
    """Adds up the rows of each bag, element by element, as float32 and in order: ((row 0 + row 1) + row 2) + ...

    Each addition is rounded. A sum begins with -0, so that the sum of one row is that row, bit by bit. The mean is the
    sum over the number of rows, rounded once more. Any NaN in a sum or a mean is `canonical_nan`.

    Ports:
        input: payload `row_beat`. All beats of a row but its last are full; all rows of a bag have the same length, of
            MAX_POOL_BYTES at most, as float32. `last` ends a bag whatever `bag_last` says.
        output: payload `row_beat`: each bag's sum, a row and a bag by itself, `last` with that of the last bag.
        pool: if low, beats pass as they are. mean, bf16 (with `pool`): means are wanted; the rows hold bfloat16, the
            earlier in the lower half of 32 bits, and become float32, twice as long. All three are constant while `busy`
            and while beats are offered.
        drop: nothing comes any more of a bag whose end did not come, and no beat is offered: it gives no row.
        busy: holds a beat, or a part of a bag.

    Rows other than those, and the mean of more than MAX_MEAN_ROWS, give numbers without meaning; a bag gives a row all
    the same.

    Throughput: a beat a cycle; with bf16, half a beat. A row that is shorter than FloatAdder.LATENCY beats takes so
    many cycles. A sum leaves while the next bag's first row comes in; of a mean, a beat in division_latency() cycles.
    Latency: 1 cycle, with `pool` 1 + FloatAdder.LATENCY from a bag's last beat to its sum, at most; for a mean,
    division_latency() more.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        self.beats = MAX_POOL_BYTES // (geometry.granules * GRANULE_BYTES)
        super().__init__(
            {
                "input": In(stream.Signature(row_beat(geometry))),
                "output": Out(stream.Signature(row_beat(geometry))),
                "pool": In(1),
                "mean": In(1),
                "bf16": In(1),
                "drop": In(1),
                "busy": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        goes, taken, added = Signal(), Signal(), Signal()
        beat, second = self._widen(m, goes)
        bag_end = Signal()
        m.d.comb += [
            taken.eq(self.input.valid & goes),
            added.eq(taken & self.pool),
            bag_end.eq(beat.row_last & (beat.bag_last | beat.last)),
        ]

        # The place in its row of the beat that comes next, and in its bag of that row.
        at = Signal(range(self.beats))
        first = Signal(init=1)
        rows, more_rows = Signal(range(MAX_MEAN_ROWS + 1)), Signal(range(MAX_MEAN_ROWS + 1))
        m.d.comb += more_rows.eq(Mux(rows == MAX_MEAN_ROWS, MAX_MEAN_ROWS, rows + 1))
        with m.If(added):
            m.d.sync += at.eq(Mux(beat.row_last, 0, at + 1))
            with m.If(beat.row_last):
                m.d.sync += [first.eq(bag_end), rows.eq(Mux(bag_end, 0, more_rows))]
        with m.Elif(self.drop):
            m.d.sync += [first.eq(1), rows.eq(0)]

        # A sum that leaves: its beat `leaving_at` is next; what its last beat is.
        leaving, leaves, leaving_at = Signal(), Signal(), Signal.like(at)
        final = Signal(data.StructLayout({"at": at.shape(), "count": beat.count.shape(), "last": 1}), reset_less=True)
        divisor = Signal.like(more_rows, reset_less=True)
        ends = leaving_at == final.at
        with m.If(leaves):
            m.d.sync += [leaving_at.eq(leaving_at + 1), leaving.eq(~ends)]
        with m.If(added & bag_end):
            m.d.sync += [
                leaving.eq(1), leaving_at.eq(0), final.at.eq(at), final.count.eq(beat.count), final.last.eq(beat.last),
                divisor.eq(more_rows),
            ]  # fmt: skip

        # What leaves is read before all else: a bag's first row, which may follow it, reads nothing.
        m.submodules.sums = sums = _Sums(self.beats, self.geometry.axi_bits)
        m.d.comb += [
            sums.add.eq(added),
            sums.first.eq(first),
            sums.addend.eq(beat.data),
            sums.at.eq(at),
            sums.read_at.eq(Mux(leaving, leaving_at, at)),
        ]
        with m.If(~self.pool):
            m.d.comb += goes.eq(~self.output.valid | self.output.ready)
        with m.Elif(leaving):
            behind = (at < leaving_at) | ((at == leaving_at) & leaves)
            m.d.comb += goes.eq(first & behind & (~bag_end | (leaves & ends)))
        with m.Else():
            m.d.comb += goes.eq(first | ~sums.pending)

        going = Signal(row_beat(self.geometry))
        m.d.comb += [
            going.data.eq(sums.total),
            going.count.eq(Mux(ends, final.count, self.geometry.granules)),
            Cat(going.row_last, going.bag_last, going.last).eq(Cat(ends, ends, ends & final.last)),
        ]
        dividing = self._send(m, beat, taken, going, leaving & ~sums.pending, leaves, divisor)
        m.d.comb += self.busy.eq(self.output.valid | leaving | sums.busy | dividing | ~first | (at != 0) | second)
        return m

    def _widen(self, m: Module, goes: Signal) -> tuple[data.View, Signal]:
        """The beat as float32, which `goes` or waits, and whether it is the second half of a beat of bfloat16."""
        granules, bits = self.geometry.granules, self.geometry.axi_bits
        came = self.input.payload
        beat = Signal(row_beat(self.geometry))
        twice = Signal(range(2 * granules + 1))
        second, two = Signal(), Signal()
        half = Mux(second, came.data[bits // 2 :], came.data[: bits // 2])
        m.d.comb += [
            twice.eq(came.count << 1),
            two.eq(self.pool & self.bf16 & (twice > granules)),
            beat.eq(came),
            self.input.ready.eq(goes & (second | ~two)),
        ]
        with m.If(self.pool & self.bf16):
            m.d.comb += beat.data.eq(
                Cat(Cat(Const(0, 16), half.word_select(lane, 16)) for lane in range(bits // _FLOAT_BITS))
            )
            with m.If(second):
                m.d.comb += beat.count.eq(twice - granules)
            with m.Elif(two):
                m.d.comb += [beat.count.eq(granules), beat.row_last.eq(0)]
            with m.Else():
                m.d.comb += beat.count.eq(twice)
        with m.If(self.input.valid & goes):
            m.d.sync += second.eq(two & ~second)
        return beat, second

    def _send(self, m: Module, beat, taken: Signal, going: data.View, ready, leaves: Signal, divisor: Signal) -> Signal:
        """What passes, the sum's beat `going` where it is `ready`, or its mean, to the output. `leaves`: `going` does.
        Returns whether the divider has a beat."""
        out = self.output.payload
        m.submodules.divider = divider = FloatDivider(self.geometry.axi_bits // _FLOAT_BITS)
        divided = Signal(row_beat(self.geometry), reset_less=True)  # but its data
        free, dividing = Signal(), Signal()
        m.d.comb += [
            free.eq(~self.output.valid | self.output.ready),
            leaves.eq(ready & Mux(self.mean, divider.input.ready, free)),
            divider.input.valid.eq(ready & self.mean),
            divider.input.payload.dividends.as_value().eq(going.data),
            divider.input.payload.divisor.eq(divisor),
            divider.output.ready.eq(free),
            dividing.eq(divider.output.valid | ~divider.input.ready),
        ]
        with m.If(leaves):
            m.d.sync += divided.eq(going)
        with m.If(free):
            with m.If(~self.pool):
                m.d.sync += [self.output.valid.eq(taken), out.eq(beat)]
            with m.Elif(self.mean):
                m.d.sync += [
                    self.output.valid.eq(divider.output.valid),
                    out.eq(divided),
                    out.data.eq(divider.output.payload.as_value()),
                ]
            with m.Else():
                m.d.sync += [self.output.valid.eq(leaves), out.eq(going)]
        return dividing
