"""HotlineCore: the stream core, with AXI4-Stream and AXI4-Lite at its boundary."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.core.input.front import FrontTable
from hotline_hw.core.input.key_hash import LookupHasher
from hotline_hw.core.input.scatter import BankScatter
from hotline_hw.core.input.unpacker import Unpacker, lookup_axis
from hotline_hw.core.output.classifier import SampleClassifier
from hotline_hw.core.output.dispatcher import BatchDispatcher
from hotline_hw.core.output.gather import BankGather
from hotline_hw.core.output.updates import UpdateScatter
from hotline_hw.core.output.verdicts import VerdictTap, verdict_bits
from hotline_hw.lib.axi import axil_signature, axis_signature
from hotline_hw.lib.csr import CsrBank
from hotline_hw.lib.interrupts import InterruptLine
from hotline_hw.lib.queues import StreamQueue
from hotline_hw.lib.streams import SkidBuffer, fork, forward
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import Error
from hotline_hw.spec.words import WORD_BITS, WORD_BYTES

from .bank_wiring import (
    connect_front,
    connect_lists,
    connect_selector,
    connect_updates,
    count_events,
    place_banks,
)
from .control import TrackerControl
from .layouts import axis_beat, fronted_beat, pass_beat, state_beat, verdict_beat
from .registers import connect_commands, connect_values, count, error_bits
from .selector import HotSetSelector

__all__ = ["HotlineCore"]


class HotlineCore(wiring.Component):
    """Tracks popularity, and splits every mini-batch into a popular and a non-popular packet.

        s_axis_lookup -> SkidBuffer -> Unpacker -> LookupHasher -> FrontTable -> SkidBuffer -> BankScatter
                                                                                                    ||
                                                                        pass FIFO, PopularityBank x banks
                                                       UpdateScatter ==> banks            ||
                                                          |                           BankGather
        m_axis_popular, m_axis_nonpopular <- SkidBuffers <- BatchDispatcher <- SampleClassifier <-'

        s_axil -> CsrBank - TrackerControl -> (budget, clear, dump, restore) -> banks;  CounterBank

    `words` has the layout of the words, `regmap` the registers. Both result streams must be drained, because each
    mini-batch sends one packet on either. Results and state depend on the input stream alone, never on stalls.

    With `shell` it is the core of a HotlineDevice. It then lists the unique cold rows of a mini-batch (`WorkingList`),
    and the result word of a missed lookup holds the row's place (`spec.descriptors`) instead of the row.

    Ports with a shell:
        phase: Used one cycle later, instead of CONTROL.phase.
        command, command_write: As a write of COMMAND.
        acknowledged: Pulse. Software has written IRQ_STATUS.
        busy: STATUS.busy.
        command_done: Pulse. A command has ended, a cycle ago.
        finished: Pulse. Both packets of a mini-batch have left.
        errors: Pulses, one for each bit of ERROR, in its order, a cycle later. Whether a command is refused shows
            two cycles after `command_write`.
        index_bits: INDEX_BITS.
        working_start: Pulse, only on an idle core. New lists begin. No mini-batch may begin before
            `working_ready`.
        working_ready: The lists are empty.
        working_enable: Misses are listed.
        working_full: Since the lists began, a row found no place.
        list_bank, list_held, list_number: A row in a list.
        list_count: Rows of that list, one cycle later.
        list_key: The row's mixed key, two cycles later. The list ports are in the clock domain `shell`.
        verdicts: Stream of `verdict_bits`: the verdicts on the samples of classified mini-batches, in order. A
            mini-batch that is only learned sends a last beat without bits.

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
            "acknowledged": Out(1), "index_bits": Out(range(geometry.index_bits + 1)),
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
        m.submodules.lookup_slice = lookups = SkidBuffer(lookup_axis(g))
        m.submodules.unpacker = unpacker = Unpacker(g)
        m.submodules.hasher = hasher = LookupHasher(g)
        m.submodules.front = front = FrontTable(g)
        m.submodules.front_slice = fronted = SkidBuffer(fronted_beat(g))
        m.submodules.scatter = scatter = BankScatter(g)
        m.submodules.passes = passes = StreamQueue(pass_beat(g), depth=g.beat_depth)
        m.submodules.gather = gather = BankGather(g)
        m.submodules.classifier = classifier = SampleClassifier(g)
        m.submodules.dispatcher = dispatcher = BatchDispatcher(g)

        # The stream's way through the core.
        wiring.connect(m, lookups.output, unpacker.input)
        wiring.connect(m, unpacker.output, hasher.input)
        wiring.connect(m, hasher.output, front.input)
        wiring.connect(m, front.output, fronted.input)
        wiring.connect(m, fronted.output, scatter.input)
        wiring.connect(m, scatter.output, passes.input)
        wiring.connect(m, passes.output, gather.input)
        wiring.connect(m, gather.output, classifier.input)
        m.d.comb += [
            lookups.input.payload.data.eq(self.s_axis_lookup.tdata),
            lookups.input.payload.keep.eq(self.s_axis_lookup.tkeep),
            lookups.input.payload.last.eq(self.s_axis_lookup.tlast),
            lookups.input.valid.eq(self.s_axis_lookup.tvalid),
            self.s_axis_lookup.tready.eq(lookups.input.ready),
        ]
        for name, output, side in (
            ("popular", self.m_axis_popular, dispatcher.popular),
            ("nonpopular", self.m_axis_nonpopular, dispatcher.nonpopular),
        ):
            m.submodules[f"{name}_slice"] = slice_ = SkidBuffer(axis_beat(g.lanes))
            wiring.connect(m, side, slice_.input)
            beat = slice_.output.payload
            m.d.comb += [
                output.tdata.eq(beat.words),
                output.tkeep.eq(Cat((beat.count > word).replicate(WORD_BYTES) for word in range(g.lanes))),
                output.tlast.eq(beat.last),
                output.tvalid.eq(slice_.output.valid),
                slice_.output.ready.eq(output.tready),
            ]

        # The banks, and who else uses them.
        banks = place_banks(m, platform, g, scatter, gather, control)
        if g.working_rows:
            connect_lists(m, self, banks)
        counts = count_events(m, banks)
        in_core, finished = self._batches(m, unpacker)
        busy = Signal()
        m.submodules.updates = updates = UpdateScatter(g)
        m.submodules.judged = judged = SkidBuffer(verdict_beat(g))
        wiring.connect(m, judged.output, updates.input)
        sinks = [dispatcher.input, judged.input]
        behind: Value = judged.output.valid  # what may be under way when the packets have left
        if g.working_rows:
            m.submodules.verdict_tap = tap = VerdictTap(g)
            wiring.connect(m, tap.output, wiring.flipped(self.verdicts))
            sinks.append(tap.input)
            behind = behind | tap.busy
        fork(m, classifier.output, sinks)
        m.submodules.selector = selector = HotSetSelector(g)
        updating = connect_updates(m, updates, banks, csr)
        occupied = Signal()  # `busy` or `unpacker.started`, a cycle ago
        m.d.comb += busy.eq(in_core | behind | updating)
        m.d.sync += occupied.eq(busy | unpacker.started)
        connect_selector(m, selector, banks, control, csr)
        connect_front(m, front, gather, updates, control, selector)

        # State streams.
        state = stream.Signature(state_beat(g)).create(path=("state",))
        with m.If(selector.running):
            forward(m, selector.event, state)
        with m.Else():
            forward(m, control.dump, state)
        m.submodules.state_slice = leaving = SkidBuffer(state_beat(g))
        forward(m, state, leaving.input)
        m.d.comb += [
            self.m_axis_state.tdata.eq(leaving.output.payload.words),
            self.m_axis_state.tlast.eq(leaving.output.payload.last),
            self.m_axis_state.tvalid.eq(leaving.output.valid),
            leaving.output.ready.eq(self.m_axis_state.tready),
            control.restore.payload.words.eq(self.s_axis_state.tdata),
            control.restore.payload.last.eq(self.s_axis_state.tlast),
            control.restore.valid.eq(self.s_axis_state.tvalid),
            self.s_axis_state.tready.eq(control.restore.ready),
        ]

        # Counters and registers.
        events = {
            "batches": finished,
            "samples": classifier.samples,
            "popular_samples": classifier.popular,
            "lookups": classifier.lookups,
            "lookup_hits": classifier.hits,
            **counts,
            "promotions": selector.promoted,
            "demotions": selector.demoted,
            "index_errors": classifier.bad,
            "cycles": busy,
            "select_cycles": selector.running,
            "input_idle": busy & self.s_axis_lookup.tready & ~self.s_axis_lookup.tvalid,
            "bank_stall": scatter.stalled,
            "split_beats": scatter.split,
            "output_stall": (self.m_axis_popular.tvalid & ~self.m_axis_popular.tready)
            | (self.m_axis_nonpopular.tvalid & ~self.m_axis_nonpopular.tready),
        }
        counters = count(m, events, control)
        wiring.connect(m, wiring.flipped(self.s_axil), csr.bus)
        status = Cat(occupied | control.running, control.running, unpacker.newest_phase)
        connect_values(m, g, csr, control, selector, counters, status)
        errors = error_bits(unpacker, front, classifier, control)
        connect_commands(m, self, csr, unpacker, control, errors, occupied, finished)
        m.submodules.interrupt = interrupt = InterruptLine()
        m.d.comb += [
            interrupt.causes.eq((csr.irq_status & csr.irq_enable).any()),
            interrupt.acknowledged.eq(csr.irq_status_write), self.irq.eq(interrupt.irq),
        ]  # fmt: skip
        if g.working_rows:
            m.d.comb += self.acknowledged.eq(csr.irq_status_write)
        return m

    def _batches(self, m: Module, unpacker: Unpacker) -> tuple[Signal, Signal]:
        """Follows mini-batches. Returns two signals: one is in the core, and one has left on both streams."""
        in_core = Signal(16)
        finished = Signal()
        left = []
        for name, output in (("popular", self.m_axis_popular), ("nonpopular", self.m_axis_nonpopular)):
            # Packets sent whose sister packet is not. The beats behind BatchDispatcher are fewer.
            waiting = Signal(range(32), name=f"{name}_ended")
            sent = Signal(name=f"{name}_sent")
            m.d.comb += sent.eq(output.tvalid & output.tready & output.tlast)
            m.d.sync += waiting.eq(waiting + sent - finished)
            left.append(waiting != 0)
        busy = Signal()
        came = Signal()
        gone = Signal()
        m.d.comb += finished.eq(left[0] & left[1])
        m.d.sync += [
            came.eq(unpacker.started), gone.eq(finished), in_core.eq(in_core + came - gone),
            busy.eq(unpacker.started | came | (in_core != 0)),
        ]  # fmt: skip
        return busy, finished
