"""CsrBank: the register map of `regmap` on AXI4-Lite."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hotline_hw.spec.regmap import ADDRESS_BITS, REGISTERS, Access, Register

from .axi import axil_signature

__all__ = ["CsrBank"]

_OKAY, _SLVERR = 0, 2


class CsrBank(wiring.Component):
    """Decodes AXI4-Lite into registers described as in `regmap`, one transaction at a time in each direction.

    Args:
        registers: the registers. The low ADDRESS_BITS of their offsets are decoded.

    Ports of each register (`name` is its name in lower case):
        RO   `name`: In. Its value.
        RW   `name`: Out. Its value, held here.
        RW, `external`   `name`: In. Its value, held by the user.
                         `name_write`: Out. A write strobe.
        W1C  `name`: Out. The sticky bits, held here.
             `name_set`: In. Bits to set. Setting wins over clearing.
             `name_write`: Out. A write strobe.
        WO   `name_write`: Out. A write strobe.

    Other ports:
        bus: AXI4-Lite.
        write_data: data of the strobed write.

    These accesses answer SLVERR and do nothing: an access to an address without a register, a write to a read-only
    register, and a write that does not strobe all bytes. Latency: a response is valid two cycles after its request.
    """

    def __init__(self, registers: tuple[Register, ...] = REGISTERS) -> None:
        self.registers = registers
        members: dict[str, wiring.Member] = {"bus": In(axil_signature()), "write_data": Out(32)}
        for register in registers:
            name = register.name.lower()
            if register.access is Access.WO:
                members[f"{name}_write"] = Out(1)
            elif register.access is Access.W1C:
                members[name] = Out(32)
                members[f"{name}_set"] = In(len(register.fields))
                members[f"{name}_write"] = Out(1)
            elif register.access is Access.RW and not register.external:
                members[name] = Out(32, init=register.reset)
            else:
                members[name] = In(32)
                if register.external:
                    members[f"{name}_write"] = Out(1)
        super().__init__(members)

    def _fields_mask(self, register: Register) -> int:
        return sum(field.mask for field in register.fields)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        bus = self.bus

        # Write: address and data are taken when they come. The write happens once both are there.
        address = Signal(ADDRESS_BITS)
        data = Signal(32)
        strobes = Signal(4)
        has_address = Signal()
        has_data = Signal()
        write = Signal()
        write_error = Signal(init=1)
        m.d.comb += [
            bus.awready.eq(~has_address),
            bus.wready.eq(~has_data),
            write.eq(has_address & has_data & ~bus.bvalid),
            self.write_data.eq(data),
        ]
        with m.If(bus.awvalid & bus.awready):
            m.d.sync += [address.eq(bus.awaddr), has_address.eq(1)]
        with m.If(bus.wvalid & bus.wready):
            m.d.sync += [data.eq(bus.wdata), strobes.eq(bus.wstrb), has_data.eq(1)]
        with m.If(write):
            m.d.sync += [has_address.eq(0), has_data.eq(0), bus.bvalid.eq(1)]
            m.d.sync += bus.bresp.eq(Mux(write_error, _SLVERR, _OKAY))
        with m.Elif(bus.bready):
            m.d.sync += bus.bvalid.eq(0)

        # Read
        read_address = Signal(ADDRESS_BITS)
        has_read = Signal()
        read = Signal()
        m.d.comb += [bus.arready.eq(~has_read), read.eq(has_read & ~bus.rvalid)]
        with m.If(bus.arvalid & bus.arready):
            m.d.sync += [read_address.eq(bus.araddr), has_read.eq(1)]
        with m.If(read):
            m.d.sync += [has_read.eq(0), bus.rvalid.eq(1)]
        with m.Elif(bus.rready):
            m.d.sync += bus.rvalid.eq(0)

        write_ok = Signal()
        m.d.comb += write_ok.eq(write & strobes.all())
        value = Signal(32)
        read_error = Signal()
        with m.Switch(read_address):
            for register in self.registers:
                with m.Case(register.offset % (1 << ADDRESS_BITS)):
                    if register.access is not Access.WO:
                        m.d.comb += value.eq(getattr(self, register.name.lower()))
            with m.Default():
                m.d.comb += read_error.eq(1)
        with m.If(read):
            m.d.sync += [bus.rdata.eq(value), bus.rresp.eq(Mux(read_error, _SLVERR, _OKAY))]

        for register in self.registers:
            if register.access is Access.RO:
                continue
            selected = Signal(name=f"select_{register.name.lower()}")
            m.d.comb += selected.eq(write_ok & (address == register.offset % (1 << ADDRESS_BITS)))
            with m.If(selected):
                m.d.comb += write_error.eq(0)
            self._connect(m, register, selected, data)
        return m

    def _connect(self, m: Module, register: Register, selected: Signal, data: Signal) -> None:
        """Connects what a write to `register` does."""
        name = register.name.lower()
        mask = Const(self._fields_mask(register), 32)
        if register.access is Access.WO or register.external:
            m.d.comb += getattr(self, f"{name}_write").eq(selected)
        elif register.access is Access.RW:
            with m.If(selected):
                m.d.sync += getattr(self, name).eq(data & mask)
        else:
            bits = getattr(self, name)
            added = Cat(getattr(self, f"{name}_set"), Const(0, 32 - len(register.fields)))
            m.d.sync += bits.eq(Mux(selected, bits & ~data, bits) | added)
            m.d.comb += getattr(self, f"{name}_write").eq(selected)
