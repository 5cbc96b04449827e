"""Elaborating a repeated block once.

A plain Amaranth hierarchy elaborates and emits a block as often as it is placed: 32 tracker banks become 32 modules
of Verilog. `place` puts a component into a module. If the design is generated through a `BlockLibrary`, the component
becomes an instance of a module that is emitted once. Under the Amaranth simulator and in proofs the platform is no
library, and the component is an ordinary submodule.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from amaranth.back import rtlil
from amaranth.hdl import ClockDomain, ClockSignal, Fragment, Instance, Module, ResetSignal, ValueCastable
from amaranth.lib import wiring

__all__ = ["BlockLibrary", "flat_ports", "place"]


def flat_ports(component: wiring.Component) -> dict[str, tuple[Any, wiring.Flow]]:
    """The component's ports by flat name (`a.b[0]` is `a_b_0`): value and direction."""
    ports = {}
    for path, member, value in component.signature.flatten(component):
        flat = value.as_value() if isinstance(value, ValueCastable) else value
        if len(flat):
            ports["_".join(map(str, path))] = (flat, member.flow)
    return ports


class BlockLibrary:
    """Collects one module for each kind of block that a design places. Used as the Amaranth platform."""

    def __init__(self) -> None:
        self.modules: dict[str, str] = {}

    def emit(self, component: wiring.Component, name: str) -> str:
        """RTLIL text of `component` as module `name`."""
        ports = {port: (value, _direction(flow)) for port, (value, flow) in flat_ports(component).items()}
        # The domain sync is made here. If two domains are missing, the order in which Amaranth makes them varies.
        sync = ClockDomain("sync")
        fragment = Fragment.get(component, self)
        fragment.add_domains(sync)
        ports |= {port: (signal, _direction(wiring.In)) for port, signal in (("clk", sync.clk), ("rst", sync.rst))}
        return rtlil.convert(fragment, name=name, ports=ports, emit_src=False, missing_domain=_domain)

    def instance(
        self, component: wiring.Component, kind: str, clocks: Mapping[str, Any] | None = None, reset: Any = None
    ) -> Instance:
        """An instance of `component`, whose module `kind` is emitted at its first use.

        Args:
            clocks: clocks of its domains. Without one for sync, it uses sync where it is placed. No other domain has a
                reset.
            reset: of its domain sync; that of sync where it is placed without it.
        """
        if kind not in self.modules:
            self.modules[kind] = ""  # claimed: a block places others while it is emitted
            self.modules[kind] = self.emit(component, kind).replace("attribute \\top 1\n", "")
        component._MustUse__used = True  # elaborated once for all instances: Amaranth need not warn of the others
        prefixes = {wiring.In: "i_", wiring.Out: "o_"}
        ports = {prefixes[flow] + port: value for port, (value, flow) in flat_ports(component).items()}
        clocks = {"sync": ClockSignal()} | dict(clocks or {})
        clock_ports = {"i_clk" if name == "sync" else f"i_{name}_clk": clock for name, clock in clocks.items()}
        return Instance(kind, **clock_ports, i_rst=ResetSignal() if reset is None else reset, **ports)


def _domain(name: str) -> ClockDomain:
    """Makes a clock domain for one besides sync that a design uses and nobody made. Its clock is a port."""
    return ClockDomain(name, reset_less=True)


def _direction(flow: wiring.Flow) -> Any:
    from amaranth.hdl._ir import PortDirection

    return PortDirection.Input if flow == wiring.In else PortDirection.Output


def place(
    m: Module,
    platform: object,
    name: str,
    component: wiring.Component,
    kind: str,
    domains: tuple[str, ...] = (),
) -> None:
    """Places `component` in `m` as submodule `name`, an instance of the shared module `kind`.

    `domains` are the clock domains that it uses besides sync.

    All components placed as one `kind` in a design must be built with the same parameters.
    """
    m.submodules[name] = (
        platform.instance(component, kind, {domain: ClockSignal(domain) for domain in domains})
        if isinstance(platform, BlockLibrary)
        else component
    )
