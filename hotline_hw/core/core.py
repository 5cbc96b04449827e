"""HotlineCore: the stream core, with AXI4-Stream and AXI4-Lite at its boundary."""

from __future__ import annotations

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.bank.bank import PopularityBank
from hotline_hw.core.bank.working import LIST_DOMAIN
from hotline_hw.core.input.key_hash import LookupHasher
from hotline_hw.core.input.scatter import BankScatter
from hotline_hw.core.input.unpacker import Unpacker, lookup_axis
from hotline_hw.core.output.classifier import SampleClassifier
from hotline_hw.core.output.dispatcher import BatchDispatcher
from hotline_hw.core.output.gather import BankGather
from hotline_hw.core.output.updates import UpdateScatter
from hotline_hw.core.output.verdicts import VerdictTap, verdict_bits
from hotline_hw.lib.axi import RegisterSlice, axil_signature, axis_signature
from hotline_hw.lib.blocks import place
from hotline_hw.lib.counters import CounterBank
from hotline_hw.lib.csr import CsrBank
from hotline_hw.lib.streams import fork, forward
from hotline_hw.spec.capabilities import capability_values
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import COUNTERS, REGISTERS, Command, Error, register
from hotline_hw.spec.words import WORD_BITS, WORD_BYTES

from .control import TrackerControl
from .layouts import axis_beat, pass_beat, row_parts, state_beat
from .selector import HotSetSelector

__all__ = ["HotlineCore"]


class HotlineCore(wiring.Component):
    """Tracks popularity, and splits every mini-batch into a popular and a non-popular packet.

        s_axis_lookup -> RegisterSlice -> Unpacker -> LookupHasher -> BankScatter ==> PopularityBank x banks
                                                                          |                  ||
                                                                          '--- pass FIFO -> BankGather
                                                       UpdateScatter ==> banks                |
                                                          |  (sample-aware tracker)           |
        m_axis_popular, m_axis_nonpopular <- RegisterSlices <- BatchDispatcher <- SampleClassifier <------------'

        s_axil -> CsrBank - TrackerControl -> (budget, clear, dump, restore) -> banks;  CounterBank

    The words are those of `words`, the registers those of `regmap`. Both result streams must be drained: each
    mini-batch sends one packet on either. Results and state depend on the input stream alone, never on stalls.

    With `shell` it is the core of a HotlineDevice: it lists the unique cold rows of a mini-batch (`WorkingList`), and a
    result word of a missed lookup holds its row's place (`dma.descriptors`) where else the row is. Ports then:
        phase: used, a cycle later, in place of CONTROL.phase. command, command_write: as a write of COMMAND.
        busy: STATUS.busy. command_done, finished (both packets of a mini-batch have left), errors: pulses.
        index_bits: INDEX_BITS.
        working_start: pulse on an idle core: new lists begin; none must until working_ready. working_enable: misses are
            listed. working_full: since then a row found no place.
        list_bank, list_held, list_number: a row in a list. list_count: rows of that list, one cycle later; list_key:
            the row's mixed key, two cycles later, both in the clock domain `shell`, which must be there.
        verdicts: payload `verdict_bits`, of the samples of mini-batches that are classified, in order. One that is
            learned has a last beat too, without bits.

    Throughput: `lanes` lookups a cycle, less the cuts and waits that uneven banks cost (counters split_beats,
    bank_stall).
    """

    def __init__(self, geometry: Geometry, *, shell: bool = False) -> None:
        self.geometry = geometry = geometry if shell else geometry.stream_core()
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
                **(self._shell_ports(geometry) if shell else {}),
            }
        )

    @staticmethod
    def _shell_ports(geometry: Geometry) -> dict[str, wiring.Member]:
        return {
            "phase": In(2), "command": In(8), "command_write": In(1),
            "busy": Out(1), "command_done": Out(1), "finished": Out(1), "errors": Out(len(Error)),
            "index_bits": Out(range(geometry.index_bits + 1)),
            "working_start": In(1), "working_ready": Out(1), "working_enable": In(1), "working_full": Out(1),
            "list_bank": In(range(geometry.banks)), "list_held": In(1), "list_number": In(geometry.local_bits),
            "list_count": Out(geometry.local_bits + 1), "list_key": Out(geometry.key_bits),
            "verdicts": Out(stream.Signature(verdict_bits(geometry))),
        }  # fmt: skip

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
        banks, counts = self._banks(m, platform, scatter, gather, control)
        in_core, finished = self._batches(m, unpacker)
        busy = Signal()
        m.d.comb += busy.eq(in_core)
        promoted, demoted, selecting = Const(0), Const(0), Const(0)
        state, values = control.dump, {}
        if g.sample_aware:
            updating = self._updates(m, classifier.output, dispatcher.input, banks, csr)
            selector = self._selection(m, banks, control, csr)
            m.d.comb += busy.eq(in_core | updating)
            promoted, demoted, selecting = selector.promoted, selector.demoted, selector.running
            values = {"HOT_COUNT": selector.hot_count, "THRESHOLD": selector.threshold}
            state = stream.Signature(state_beat(g)).create(path=("state",))
            with m.If(selecting):
                forward(m, selector.event, state)
            with m.Else():
                forward(m, control.dump, state)
        else:
            fork(m, classifier.output, [dispatcher.input, *self._verdict_sinks(m)])
            values = {"HOT_COUNT": Const(0), "THRESHOLD": Const(0)}

        # State streams.
        m.d.comb += [
            self.m_axis_state.tdata.eq(state.payload.words),
            self.m_axis_state.tlast.eq(state.payload.last),
            self.m_axis_state.tvalid.eq(state.valid),
            state.ready.eq(self.m_axis_state.tready),
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
            **counts,
            "promotions": promoted,
            "demotions": demoted,
            "index_errors": classifier.bad,
            "cycles": busy,
            "select_cycles": selecting,
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
            Error.PHASE: unpacker.unknown_phase,
        }
        if g.working_rows:
            # Commands with packets are descriptors: no one would take the packet of a written one.
            with_packet = Signal()
            m.d.comb += with_packet.eq(
                csr.command_write
                & Cat(csr.write_data == code for code in (Command.DUMP, Command.RESTORE, Command.SELECT)).any()
            )
            errors[Error.COMMAND_CODE] = control.command_code | with_packet
        error_set = Cat(errors[flag] for flag in Error)
        values |= {
            "STATUS": Cat(busy | control.running, control.running, unpacker.newest_phase),
            "HOT_ROWS": control.hot_rows,
            "INDEX_BITS": control.index_bits,
            **capability_values(g, REGISTERS),
        }
        for counter in COUNTERS:
            value = getattr(counters, f"{counter.name}_value")
            values[f"COUNTER_{counter.name.upper()}_LO"] = value[:32]
            values[f"COUNTER_{counter.name.upper()}_HI"] = value[32:]
        for name, value in values.items():
            m.d.comb += getattr(csr, name.lower()).eq(value)
        phase = csr.control[: register("CONTROL").field("phase").width]
        command_write, write_data = csr.command_write, csr.write_data
        if g.working_rows:
            phase = Signal.like(self.phase)
            m.d.sync += phase.eq(self.phase)
            command_write = (csr.command_write & ~with_packet) | self.command_write
            write_data = Mux(self.command_write, self.command, csr.write_data)
            m.d.comb += [
                self.busy.eq(busy | control.running | unpacker.started),
                self.command_done.eq(control.done),
                self.finished.eq(finished),
                self.errors.eq(error_set),
                self.index_bits.eq(control.index_bits),
            ]
        m.d.comb += [
            unpacker.phase.eq(phase),
            unpacker.hold.eq(control.hold),
            control.busy.eq(busy | unpacker.started),
            control.command_write.eq(command_write),
            control.hot_rows_write.eq(csr.hot_rows_write),
            control.write_data.eq(write_data),
            csr.error_set.eq(error_set),
            csr.irq_status_set.eq(Cat(finished, control.done, error_set.any())),
        ]
        m.d.sync += self.irq.eq((csr.irq_status & csr.irq_enable).any())
        return m

    def _banks(self, m: Module, platform: object, scatter, gather, control) -> tuple[list, dict[str, Signal]]:
        """Places the banks between scatter and gather. Returns them, and their events in a cycle by counter."""
        g = self.geometry
        events = {"inserts": "inserted", "evictions": "evicted"}
        if g.sample_aware:
            events |= {"revivals": "revived", "returns": "returned"}
        banks = []
        for number in range(g.banks):
            bank = PopularityBank(g)
            banks.append(bank)
            place(m, platform, f"bank{number}", bank, "popularity_bank", (LIST_DOMAIN,) if g.working_rows else ())
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
                bank.row_write.eq(control.row_write[number]),
                bank.clear.eq(control.clear),
            ]
            if not g.sample_aware:
                m.d.comb += [bank.row_access.eq(control.row_access), bank.row_set.eq(control.row_set)]
            for there, here in (
                *zip(row_parts(bank.row_in), row_parts(control.row_in), strict=True),
                *zip(row_parts(control.row_out[number]), row_parts(bank.row_out), strict=True),
            ):
                m.d.comb += there.eq(here)
        if g.working_rows:
            self._lists(m, banks)
        counts = {}
        for counter, pulse in events.items():
            counts[counter] = Signal(range(g.banks + 1), name=f"{pulse}_count")
            m.d.sync += counts[counter].eq(sum((getattr(bank, pulse) for bank in banks), Const(0)))
        if not g.sample_aware:
            counts |= {"revivals": Const(0), "returns": Const(0)}
        return banks, counts

    def _updates(self, m: Module, verdicts, dispatcher, banks: list, csr: CsrBank) -> Signal:
        """Verdicts go to the dispatcher and back to the banks. Returns whether an update is under way."""
        g = self.geometry
        m.submodules.updates = updates = UpdateScatter(g)
        fork(m, verdicts, [dispatcher, updates.input, *self._verdict_sinks(m)])
        for index in range(len(updates.weights)):
            group = register(f"WEIGHTS_{index // 4}")
            field = group.field(f"weight_{index}")
            m.d.comb += updates.weights[index].eq(getattr(csr, group.name.lower())[field.low : field.low + field.width])
        for number, bank in enumerate(banks):
            m.d.comb += [
                bank.update.eq(updates.to_bank[number]),
                *(there.eq(here) for there, here in zip(bank.update_rank_is, updates.rank_is, strict=True)),
                *(there.eq(here) for there, here in zip(bank.update_tags, updates.tags, strict=True)),
                *(there.eq(here) for there, here in zip(bank.update_weights, updates.lane_weights, strict=True)),
                bank.update_take.eq(updates.fire),
                updates.room[number].eq(bank.update_room),
                bank.age_period.eq(csr.age_period),
            ]
        # A beat is in the scatter or in the banks from the cycle after it was taken on; its packets have not left then.
        updating = Signal()
        m.d.sync += updating.eq(updates.busy | Cat(bank.updating for bank in banks).any())
        return updating | updates.busy

    def _selection(self, m: Module, banks: list, control: TrackerControl, csr: CsrBank) -> HotSetSelector:
        """SELECT, which has the banks' sets to itself while it runs."""
        g = self.geometry
        m.submodules.selector = selector = HotSetSelector(g)
        m.d.comb += [
            selector.start.eq(control.select),
            control.selecting.eq(selector.running),
            selector.hot_rows.eq(control.hot_rows),
            selector.set_mask.eq(control.budget.set_mask),
            selector.hysteresis.eq(csr.hysteresis),
            selector.move_limit.eq(csr.move_limit),
            selector.select_start.eq(csr.select_start),
            selector.clear.eq(control.clear | control.restore_start),
            selector.restored.eq(control.restored),
        ]
        running = selector.running
        for number, bank in enumerate(banks):
            m.d.comb += [
                bank.row_access.eq(running | control.row_access),
                bank.row_set.eq(Mux(running, selector.row_set, control.row_set)),
                bank.row_way.eq(Mux(running, selector.row_way, control.row_way)),
                bank.slot_write.eq(control.slot_write[number]),
                bank.slot_in.eq(Mux(running, selector.slot_in, control.slot_in)),
                control.slot_out[number].eq(bank.slot_out),
                selector.slot_out[number].eq(bank.slot_out),
                bank.level.eq(selector.level),
                bank.wanted.eq(selector.wanted),
                bank.load.eq(selector.load),
                bank.make_hot.eq(selector.make_hot),
                bank.pick_take.eq(selector.take[number]),
                selector.eligible[number].eq(bank.eligible),
                selector.any_left[number].eq(bank.any_left),
                selector.pick_way[number].eq(bank.pick_way),
                selector.pick_tag[number].eq(bank.pick_tag),
            ]
        return selector

    def _lists(self, m: Module, banks: list) -> None:
        """The banks' lists of unique cold rows, behind one address."""
        g = self.geometry
        # What comes from the shell is registered before it fans out: nothing in a bank then changes, and no simulator
        # looks at it, while the core's clock stands.
        start = Signal()
        enable = Signal()
        m.d.sync += [start.eq(self.working_start), enable.eq(self.working_enable)]
        m.d.comb += [
            self.working_ready.eq(~start & Cat(bank.working_ready for bank in banks).all()),
            self.working_full.eq(Cat(bank.working_full for bank in banks).any()),
        ]
        for bank in banks:
            m.d.comb += [
                bank.working_start.eq(start), bank.working_enable.eq(enable),
                bank.list_held.eq(self.list_held), bank.list_number.eq(self.list_number),
            ]  # fmt: skip
        read_bank = Signal(range(g.banks))
        m.d[LIST_DOMAIN] += [
            self.list_count.eq(
                Array(Mux(self.list_held, bank.held_count, bank.count) for bank in banks)[self.list_bank]
            ),
            read_bank.eq(self.list_bank),
            self.list_key.eq(Cat(read_bank, Array(bank.list_tag for bank in banks)[read_bank])),
        ]

    def _verdict_sinks(self, m: Module) -> list:
        """With a shell, who makes verdicts a bit a sample."""
        g = self.geometry
        if not g.working_rows:
            return []
        m.submodules.verdict_tap = tap = VerdictTap(g)
        wiring.connect(m, tap.output, wiring.flipped(self.verdicts))
        return [tap.input]

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
