"""Sequencer: carries out descriptors, one at a time, in the order of the ring."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.lib.arithmetic import add_in_halves
from hotline_hw.shell.bus.windows import share_windows
from hotline_hw.shell.layouts import (
    CHANNELS,
    EXTENT_BITS,
    MAIN,
    OTHER,
    SMALL,
    Fault,
    ReadTarget,
    descriptor_layout,
    fault_signature,
    lists_signature,
    read_request,
    single_word,
    window_signature,
)
from hotline_hw.spec.descriptors import (
    COUNTS,
    ENTRY_BYTES,
    GRANULE_BYTES,
    SUMMARY_BYTES,
    Flag,
    Opcode,
    Status,
)
from hotline_hw.spec.params import Geometry
from hotline_hw.spec.regmap import Command, Error, Phase
from hotline_hw.spec.shell_registers import MAX_RING_LOG2, WINDOWS
from hotline_hw.spec.words import WORD_BYTES

from .completion import CompletionWriter
from .decoder import Decoder
from .outcome import Outcome
from .summary import SummaryWriter

__all__ = ["Sequencer"]

_SETTLE = 8  # cycles from a start until every block shows that it is at work, or from its end until a channel does
_ANSWER = 2  # cycles from a command until the core tells that it was refused
_REFUSED = Error.COMMAND_BUSY | Error.COMMAND_CODE


class Sequencer(wiring.Component):
    """Takes each descriptor to its completion.

        IDLE -> JUDGE, DECODE -> PREPARE -> SETTLE -> BEGIN -> (ANSWER) -> READ -> WORK -> FLUSH -> (SUMMARY)
                            |                                     |                                     v
                            |                                     '-- refused --------------------->  DRAIN
                            |                                                                           v
                            '---- refused, FENCE -------------------------------------------------->  REPORT, IDLE

    A descriptor begins when nothing of the one before is under way. Its completion is written when all its data is
    visible.

    Outputs hold from PREPARE to the completion, unless the port says otherwise.

    Ports:
        enable: descriptors are carried out. Low: the one under way is given up.
        descriptors: from DescriptorFetch.
        room, cpl_base, cpl_entry, generation: of the completion ring, as in RingControl.
        completed: high for a cycle when a completion was written.
        urgent: the interrupt comes with that completion.
        waits: a descriptor waits for room.
        lost: a completion could not be written.
        state_rows: beats of a DUMP.
        windows: windows of memory.
        it: the descriptor under way.
        running: a descriptor is under way.
        working: it has begun.
        status: its status so far.
        abort: the work that it has begun is to be given up.
        load, targets: a channel of WriteEngine is set to an address.
        channel_idle: the channel has written everything.
        request: payload `read_request` of ReadTarget.STREAM.
        begin: high for a cycle. The movers of this opcode start.
        moved: the movers have nothing left to move.
        flush: high for a cycle. The movers send what they hold back.
        phase, command, command_write: to HotlineCore.
        working_start, working_enable, working_ready, working_full: HotlineCore's lists.
        core_busy, core_errors: from HotlineCore. They may come a cycle late.
        core_access: the host writes a register of the core, or `core_busy` may not show yet that it did, so nothing
            begins. If a command and a write came in the same cycle, one would be lost.
        lists: counts for the summary.
        completion_words: to the channel SMALL.
        samples, popular_samples, popular_words, nonpopular_words, listed, held: counts for the completion.
        read_fault, write_fault: from the engines, without the faults of reading descriptors.
        unknown_table, beyond_table: as in RowWalker.
    """

    def __init__(self, geometry: Geometry) -> None:
        self.geometry = geometry
        super().__init__(
            {
                "enable": In(1),
                "descriptors": In(stream.Signature(descriptor_layout())),
                "room": In(1),
                "cpl_base": In(64),
                "cpl_entry": In(MAX_RING_LOG2),
                "generation": In(1),
                "completed": Out(1),
                "urgent": Out(1),
                "state_rows": In(32),
                "windows": In(window_signature()).array(WINDOWS),
                "it": Out(descriptor_layout()),
                "running": Out(1),
                "working": Out(1),
                "abort": Out(1),
                "load": Out(CHANNELS),
                "targets": Out(64).array(CHANNELS),
                "channel_idle": In(CHANNELS),
                "request": Out(stream.Signature(read_request(geometry))),
                "begin": Out(1),
                "moved": In(1),
                "flush": Out(1),
                "phase": Out(2),
                "working_start": Out(1),
                "working_enable": Out(1),
                "working_ready": In(1),
                "working_full": In(1),
                "command": Out(8),
                "command_write": Out(1),
                "core_busy": In(1),
                "core_access": In(1),
                "core_errors": In(len(Error)),
                "lists": Out(lists_signature(geometry)),
                "completion_words": Out(stream.Signature(single_word(32))),
                **{name: In(32) for name in COUNTS},
                "read_fault": In(fault_signature()),
                "write_fault": In(fault_signature()),
                "unknown_table": In(1),
                "beyond_table": In(1),
                "waits": Out(1),
                "lost": Out(1),
                "status": Out(8),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        g = self.geometry
        m.submodules.decoder = decoder = Decoder(g)
        m.submodules.writer = writer = CompletionWriter()
        m.submodules.outcome = outcome = Outcome()
        m.submodules.summary = summary = SummaryWriter(g)
        wiring.connect(m, summary.lists, wiring.flipped(self.lists))
        wiring.connect(m, wiring.flipped(self.completion_words), writer.words)
        share_windows(m, self.windows, decoder.windows)
        it = Signal(descriptor_layout())
        is_ = {opcode: Signal(name=f"is_{opcode.name.lower()}") for opcode in Opcode}  # valid from DECODE on
        m.d.sync += [flag.eq(it.opcode == opcode) for opcode, flag in is_.items()]
        batch = is_[Opcode.LEARN] | is_[Opcode.CLASSIFY] | is_[Opcode.FRONT]
        from_core = is_[Opcode.DUMP] | is_[Opcode.RESTORE] | is_[Opcode.SELECT]
        m.d.comb += [
            self.it.eq(it), decoder.descriptor.eq(it), decoder.state_rows.eq(self.state_rows),
            writer.channel_idle.eq(self.channel_idle[SMALL]),
            summary.channel_idle.eq(self.channel_idle[SMALL]), summary.address.eq(it.targets[2]),
            self.working_enable.eq(is_[Opcode.CLASSIFY]),
            self.urgent.eq((it.flags & Flag.INTERRUPT) != 0),
        ]  # fmt: skip
        learns = (it.flags & Flag.LEARN) != 0
        m.d.comb += self.phase.eq(Mux(learns, Phase.RELEARN, Phase.CLASSIFY))
        for opcode, phase in ((Opcode.LEARN, Phase.LEARN), (Opcode.FRONT, Phase.FRONT)):
            with m.If(is_[opcode]):
                m.d.comb += self.phase.eq(phase)
        with m.Switch(it.opcode):
            for opcode, command in ((Opcode.DUMP, Command.DUMP), (Opcode.RESTORE, Command.RESTORE),
                                    (Opcode.SELECT, Command.SELECT)):  # fmt: skip
                with m.Case(opcode):
                    m.d.comb += self.command.eq(command)

        # A mini-batch, or a state to be restored, is read as one extent.
        request = self.request.payload
        by_row = Signal()
        size = Signal(GRANULE_BYTES.bit_length() - 1 + EXTENT_BITS)
        m.d.sync += [
            by_row.eq(it.operand != 0),
            size.eq(
                Mux(is_[Opcode.RESTORE], it.count * (g.ways * WORD_BYTES), Mux(by_row, it.count << 2, it.count << 3))
            ),
            request.granules.eq((size + GRANULE_BYTES - 1) >> (GRANULE_BYTES.bit_length() - 1)),
        ]
        m.d.comb += [request.address.eq(it.source), request.target.eq(ReadTarget.STREAM)]
        verdicts = add_in_halves(m, it.targets[2], Const(SUMMARY_BYTES, 64), "verdicts")
        entry = Cat(Const(0, ENTRY_BYTES.bit_length() - 1), self.cpl_entry, Const(0, 64))[:64]
        report = add_in_halves(m, self.cpl_base, entry, "report")

        at_work = Signal()  # between PREPARE and REPORT
        idle = Signal()
        m.d.comb += [
            outcome.clear.eq(idle), outcome.watch.eq(at_work), outcome.abort.eq(~self.enable),
            outcome.refuse.eq(decoder.done), outcome.verdict.eq(decoder.status),
            outcome.unknown_table.eq(self.unknown_table), outcome.beyond_table.eq(self.beyond_table),
            outcome.core_errors.eq(self.core_errors),
            outcome.working_full.eq(self.working_full & is_[Opcode.CLASSIFY]),
            self.status.eq(outcome.status),
        ]  # fmt: skip
        wiring.connect(m, wiring.flipped(self.read_fault), outcome.read_fault)
        wiring.connect(m, wiring.flipped(self.write_fault), outcome.write_fault)
        cycles = Signal(32)
        completion = writer.completion
        began = Signal()  # else what was counted is of the descriptor before
        m.d.comb += [
            completion.tag.eq(it.tag),
            completion.opcode.eq(it.opcode),
            completion.status.eq(outcome.status),
            completion.generation.eq(self.generation),
            *(completion[name].eq(Mux(began, getattr(self, name), 0)) for name in COUNTS),
            completion.errors.eq(outcome.errors),
            completion.cycles.eq(cycles),
            completion.address.eq(outcome.address),
        ]

        wait = Signal(range(_SETTLE + 1))
        halted = Signal()
        writing_fault = Signal()
        m.d.comb += self.working.eq(at_work)
        m.d.sync += self.abort.eq(at_work & ~self.enable)
        with m.If(self.running):
            m.d.sync += cycles.eq(cycles + 1)

        def settle(state: str) -> None:
            m.d.sync += wait.eq(_SETTLE)
            m.next = state

        with m.FSM() as fsm:
            m.d.comb += [idle.eq(fsm.ongoing("IDLE")), self.running.eq(~idle)]
            with m.State("IDLE"):
                m.d.comb += [
                    self.descriptors.ready.eq(self.enable & self.room & ~halted),
                    self.waits.eq(self.enable & self.descriptors.valid & ~self.room),
                ]
                m.d.sync += [it.eq(self.descriptors.payload), cycles.eq(0), writing_fault.eq(0), began.eq(0)]
                with m.If(~self.enable):
                    m.d.sync += halted.eq(0)
                with m.Elif(self.descriptors.valid & self.descriptors.ready):
                    m.next = "JUDGE"
            with m.State("JUDGE"):
                m.d.comb += decoder.start.eq(1)
                m.next = "DECODE"
            with m.State("DECODE"):
                with m.If(decoder.done):
                    m.next = "PREPARE"
                    with m.If((decoder.status != Status.OK) | is_[Opcode.FENCE]):
                        m.next = "REPORT"
            with m.State("PREPARE"):
                m.d.comb += at_work.eq(1)
                with m.If(~self.core_busy & self.working_ready):
                    m.d.comb += [
                        self.load.eq(~Const(0, CHANNELS)),
                        self.targets[MAIN].eq(it.targets[0]),
                        self.targets[OTHER].eq(it.targets[1]),
                        self.targets[SMALL].eq(verdicts),
                        self.working_start.eq(is_[Opcode.CLASSIFY]),
                    ]
                    settle("SETTLE")
            with m.State("SETTLE"):
                m.d.comb += at_work.eq(1)
                with m.If(wait != 0):
                    m.d.sync += wait.eq(wait - 1)
                with m.Elif(self.working_ready & ~self.core_busy & ~self.core_access):
                    m.next = "BEGIN"
            with m.State("BEGIN"):
                m.d.comb += [at_work.eq(1), self.begin.eq(1), self.command_write.eq(from_core)]
                m.d.sync += began.eq(1)
                settle("WORK")
                with m.If(batch):
                    m.next = "READ"
                with m.If(from_core):
                    m.d.sync += wait.eq(_ANSWER - 1)
                    m.next = "ANSWER"
            with m.State("ANSWER"):
                m.d.comb += at_work.eq(1)
                m.d.sync += wait.eq(wait - 1)
                with m.If(wait == 0):  # a cycle later the error may be that of a command of the host's
                    settle("WORK")
                    with m.If(is_[Opcode.RESTORE]):
                        m.next = "READ"
                    with m.If((self.core_errors & _REFUSED).any()):
                        settle("DRAIN")
            with m.State("READ"):
                m.d.comb += [at_work.eq(1), self.request.valid.eq(1)]
                with m.If(self.request.ready):
                    settle("WORK")
            with m.State("WORK"):
                m.d.comb += at_work.eq(1)
                with m.If(wait != 0):
                    m.d.sync += wait.eq(wait - 1)
                with m.Elif(self.moved & ~self.core_busy):
                    m.next = "FLUSH"
            with m.State("FLUSH"):
                m.d.comb += [at_work.eq(1), self.flush.eq(1)]
                settle("DRAIN")
                with m.If(is_[Opcode.CLASSIFY]):
                    m.d.comb += summary.start.eq(1)
                    m.next = "SUMMARY"
            with m.State("SUMMARY"):
                m.d.comb += [at_work.eq(1), self.load[SMALL].eq(summary.load), self.targets[SMALL].eq(summary.target)]
                with m.If(summary.done):
                    settle("DRAIN")
            with m.State("DRAIN"):
                m.d.comb += at_work.eq(1)
                with m.If(wait != 0):
                    m.d.sync += wait.eq(wait - 1)
                with m.Elif(self.channel_idle.all()):
                    m.next = "REPORT"
            with m.State("REPORT"):
                m.d.comb += [
                    self.load[SMALL].eq(1),
                    self.targets[SMALL].eq(report),
                    writer.start.eq(1),
                ]
                m.next = "COMPLETE"
            with m.State("COMPLETE"):
                m.d.sync += writing_fault.eq(writing_fault | (self.write_fault.kind != Fault.NONE))
                with m.If(writer.done):
                    m.d.comb += [self.completed.eq(~writing_fault), self.lost.eq(writing_fault)]
                    m.d.sync += halted.eq(writing_fault)
                    m.next = "IDLE"
        return m
