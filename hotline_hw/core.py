"""HotlineCore: the stream core, with AXI4-Stream and AXI4-Lite at its boundary."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal
from amaranth.lib import fifo, wiring
from amaranth.lib.wiring import In, Out

from .axi import RegisterSlice, axil_signature, axis_signature
from .bank import PopularityBank
from .blocks import place
from .classifier import SampleClassifier
from .control import TrackerControl
from .counters import CounterBank
from .csr import CsrBank
from .dispatcher import BatchDispatcher
from .gather import BankGather
from .key_hash import LookupHasher
from .layouts import axis_beat, pass_beat, row_parts
from .params import Geometry
from .regmap import COUNTERS, REGISTERS, Error, register
from .scatter import BankScatter
from .unpacker import Unpacker, lookup_axis
from .words import WORD_BITS, WORD_BYTES

__all__ = ["HotlineCore"]


class HotlineCore(wiring.Component):
    """Tracks popularity, and splits every mini-batch into a popular and a non-popular packet.

        s_axis_lookup -> RegisterSlice -> Unpacker -> LookupHasher -> BankScatter ==> PopularityBank x banks
                                                                          |                  ||
                                                                          '--- pass FIFO -> BankGather
                                                                                              |
        m_axis_popular, m_axis_nonpopular <- RegisterSlices <- BatchDispatcher <- SampleClassifier <------------'

        s_axil -> CsrBank - TrackerControl -> (budget, clear, dump, restore) -> banks;  CounterBank

    The words are those of `words`, the registers those of `regmap`. Both result streams must be drained: each
    mini-batch sends one packet on either. Results and state depend on the input stream alone, never on stalls.

    Throughput: `lanes` lookups a cycle, less the cuts and waits that uneven banks cost (counters split_beats,
    bank_stall).
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        lookup_bits = geometry.lanes * WORD_BITS
        state_bits = geometry.ways * WORD_BITS
        super().__init__(
            {
                "irq": Out(1),
                "s_axil": In(axil_signature()),
                "s_axis_lookup": In(axis_signature(lookup_bits)),
                "m_axis_popular": Out(axis_signature(lookup_bits)),
                "m_axis_nonpopular": Out(axis_signature(lookup_bits)),
                "s_axis_state": In(axis_signature(state_bits, keep=False)),
                "m_axis_state": Out(axis_signature(state_bits, keep=False)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        m.submodules.csr = csr = CsrBank()
        m.submodules.control = control = TrackerControl(g)
        m.submodules.lookup_slice = lookups = RegisterSlice(lookup_axis(g))
        m.submodules.unpacker = unpacker = Unpacker(g)
        m.submodules.hasher = hasher = LookupHasher(g)
        m.submodules.scatter = scatter = BankScatter(g)
        m.submodules.passes = passes = fifo.SyncFIFOBuffered(width=pass_beat(g).size, depth=g.beat_depth)
        m.submodules.gather = gather = BankGather(g)
        m.submodules.classifier = classifier = SampleClassifier(g)
        m.submodules.dispatcher = dispatcher = BatchDispatcher(g)

        # The stream's way through the core.
        wiring.connect(m, lookups.output, unpacker.input)
        wiring.connect(m, unpacker.output, hasher.input)
        wiring.connect(m, hasher.output, scatter.input)
        wiring.connect(m, gather.output, classifier.input)
        wiring.connect(m, classifier.output, dispatcher.input)
        m.d.comb += [
            lookups.input.payload.data.eq(self.s_axis_lookup.tdata),
            lookups.input.payload.keep.eq(self.s_axis_lookup.tkeep),
            lookups.input.payload.last.eq(self.s_axis_lookup.tlast),
            lookups.input.valid.eq(self.s_axis_lookup.tvalid),
            self.s_axis_lookup.tready.eq(lookups.input.ready),
            passes.w_data.eq(scatter.output.payload),
            passes.w_en.eq(scatter.output.valid),
            scatter.output.ready.eq(passes.w_rdy),
            gather.input.payload.eq(passes.r_data),
            gather.input.valid.eq(passes.r_rdy),
            passes.r_en.eq(gather.input.ready),
        ]
        for name, output, side in (
            ("popular", self.m_axis_popular, dispatcher.popular),
            ("nonpopular", self.m_axis_nonpopular, dispatcher.nonpopular),
        ):
            m.submodules[f"{name}_slice"] = slice_ = RegisterSlice(axis_beat(g.lanes))
            wiring.connect(m, side, slice_.input)
            beat = slice_.output.payload
            m.d.comb += [
                output.tdata.eq(beat.words),
                output.tkeep.eq(Cat((beat.count > word).replicate(WORD_BYTES) for word in range(g.lanes))),
                output.tlast.eq(beat.last),
                output.tvalid.eq(slice_.output.valid),
                slice_.output.ready.eq(output.tready),
            ]
        inserted, evicted = self._banks(m, platform, scatter, gather, control)
        busy, finished = self._batches(m, unpacker)

        # State streams.
        m.d.comb += [
            self.m_axis_state.tdata.eq(control.dump.payload.words),
            self.m_axis_state.tlast.eq(control.dump.payload.last),
            self.m_axis_state.tvalid.eq(control.dump.valid),
            control.dump.ready.eq(self.m_axis_state.tready),
            control.restore.payload.words.eq(self.s_axis_state.tdata),
            control.restore.payload.last.eq(self.s_axis_state.tlast),
            control.restore.valid.eq(self.s_axis_state.tvalid),
            self.s_axis_state.tready.eq(control.restore.ready),
        ]

        # Events to counters.
        events = {
            "batches": finished,
            "samples": classifier.samples,
            "popular_samples": classifier.popular,
            "lookups": classifier.lookups,
            "lookup_hits": classifier.hits,
            "inserts": inserted,
            "evictions": evicted,
            "index_errors": classifier.bad,
            "cycles": busy,
            "input_idle": busy & self.s_axis_lookup.tready & ~self.s_axis_lookup.tvalid,
            "bank_stall": scatter.stalled,
            "split_beats": scatter.split,
            "output_stall": (self.m_axis_popular.tvalid & ~self.m_axis_popular.tready)
            | (self.m_axis_nonpopular.tvalid & ~self.m_axis_nonpopular.tready),
        }
        m.submodules.counters = counters = CounterBank({name: len(event) for name, event in events.items()})
        for name, event in events.items():
            m.d.comb += getattr(counters, name).eq(event)
        m.d.comb += [counters.snapshot.eq(control.snapshot), counters.clear.eq(control.clear_counters)]

        # Registers.
        wiring.connect(m, wiring.flipped(self.s_axil), csr.bus)
        errors = {
            Error.INDEX_RANGE: unpacker.index_range,
            Error.SAMPLE_TOO_LONG: unpacker.sample_too_long,
            Error.SAMPLE_OPEN: unpacker.sample_open,
            Error.BATCH_TOO_LONG: classifier.batch_too_long,
            Error.COMMAND_BUSY: control.command_busy,
            Error.COMMAND_CODE: control.command_code,
            Error.HOT_ROWS_RANGE: control.hot_rows_range,
            Error.RESTORE_LENGTH: control.restore_length,
            Error.RESTORE_ENTRY: control.restore_entry,
            Error.EMPTY_BATCH: unpacker.empty_batch,
        }
        error_set = Cat(errors[flag] for flag in Error)
        values = {
            "STATUS": Cat(busy | control.running, control.running, unpacker.newest_phase),
            "HOT_ROWS": control.hot_rows,
            "INDEX_BITS": control.index_bits,
            **capability_values(g),
        }
        for counter in COUNTERS:
            value = getattr(counters, f"{counter.name}_value")
            values[f"COUNTER_{counter.name.upper()}_LO"] = value[:32]
            values[f"COUNTER_{counter.name.upper()}_HI"] = value[32:]
        for name, value in values.items():
            m.d.comb += getattr(csr, name.lower()).eq(value)
        m.d.comb += [
            unpacker.phase.eq(csr.control[register("CONTROL").field("phase").low]),
            unpacker.hold.eq(control.hold),
            control.busy.eq(busy | unpacker.started),
            control.command_write.eq(csr.command_write),
            control.hot_rows_write.eq(csr.hot_rows_write),
            control.write_data.eq(csr.write_data),
            csr.error_set.eq(error_set),
            csr.irq_status_set.eq(Cat(finished, control.done, error_set.any())),
        ]
        m.d.sync += self.irq.eq((csr.irq_status & csr.irq_enable).any())
        return m

    def _banks(self, m: Module, platform: object, scatter, gather, control) -> tuple[Signal, Signal]:
        """Places the banks between scatter and gather. Returns how many inserted and evicted in a cycle."""
        g = self.geometry
        events: dict[str, list[Signal]] = {"inserted": [], "evicted": []}
        for number in range(g.banks):
            bank = PopularityBank(g)
            place(m, platform, f"bank{number}", bank, "popularity_bank")
            m.d.comb += [
                bank.bank.eq(number),
                bank.scatter.eq(scatter.to_bank[number]),
                *(there.eq(here) for there, here in zip(bank.rank_is, scatter.rank_is, strict=True)),
                *(there.eq(here) for there, here in zip(bank.tags, scatter.tags, strict=True)),
                bank.learn.eq(scatter.output.payload.learn),
                scatter.room[number].eq(bank.room),
                bank.take.eq(scatter.fire),
                bank.gather.eq(gather.from_bank[number]),
                bank.gather_load.eq(gather.load),
                gather.ready[number].eq(bank.ready),
                bank.fetch.eq(gather.fetch),
                gather.heads[number].eq(bank.heads),
                *(there.eq(here) for there, here in zip(bank.gather_rank_is, gather.rank_is, strict=True)),
                bank.budget.eq(control.budget),
                bank.row_access.eq(control.row_access),
                bank.row_set.eq(control.row_set),
                bank.row_write.eq(control.row_write[number]),
                bank.clear.eq(control.clear),
            ]
            for there, here in (
                *zip(row_parts(bank.row_in), row_parts(control.row_in), strict=True),
                *zip(row_parts(control.row_out[number]), row_parts(bank.row_out), strict=True),
            ):
                m.d.comb += there.eq(here)
            for name, pulses in events.items():
                pulses.append(getattr(bank, name))
        counts = []
        for name, pulses in events.items():
            count = Signal(range(g.banks + 1), name=f"{name}_count")
            m.d.sync += count.eq(sum(pulses, Const(0)))
            counts.append(count)
        return counts[0], counts[1]

    def _batches(self, m: Module, unpacker: Unpacker) -> tuple[Signal, Signal]:
        """Follows mini-batches: (one is in the core, one has left on both streams)."""
        in_core = Signal(16)
        finished = Signal()
        left = []
        for name, output in (("popular", self.m_axis_popular), ("nonpopular", self.m_axis_nonpopular)):
            waiting = Signal(16, name=f"{name}_ended")  # packets sent whose sister packet is not
            sent = Signal(name=f"{name}_sent")
            m.d.comb += sent.eq(output.tvalid & output.tready & output.tlast)
            m.d.sync += waiting.eq(waiting + sent - finished)
            left.append(waiting != 0)
        busy = Signal()
        m.d.comb += [finished.eq(left[0] & left[1]), busy.eq(in_core != 0)]
        m.d.sync += in_core.eq(in_core + unpacker.started - finished)
        return busy, finished


def capability_values(geometry: Geometry) -> dict[str, int]:
    """Values of the constant registers of a core with this geometry."""
    attributes = geometry.as_dict() | {"log2_banks": geometry.bank_bits, "log2_sets": geometry.set_bits}
    values = {}
    for candidate in REGISTERS:
        if candidate.name in ("ID", "VERSION"):
            values[candidate.name] = candidate.reset or 0
        elif candidate.name.startswith("CAP_"):
            values[candidate.name] = sum(int(attributes[field.name]) << field.low for field in candidate.fields)
    return values
