"""IP-XACT (IEEE 1685-2009, which Vivado's packager reads): ports, bus interfaces, registers and files of a top.

`spirit:slave` and `spirit:master` are the standard's names of what we call subordinate and manager.
"""

from __future__ import annotations

from collections.abc import Iterable
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from hotline_hw import __version__
from hotline_hw.spec.regmap import Access, Register

from .interfaces import Interface, Port
from .regdoc import DEVICE_REGISTERS

__all__ = ["SPIRIT", "component"]

SPIRIT = "http://www.spiritconsortium.org/XMLSchema/SPIRIT/1685-2009"
_XILINX = "http://www.xilinx.com"
_ACCESS = {
    Access.RO: "read-only", Access.RW: "read-write", Access.W1C: "read-write", Access.WO: "write-only",
}  # fmt: skip
_FAMILIES = ("virtexu", "virtexuplus", "virtexuplusHBM", "kintexu", "kintexuplus", "zynquplus", "versal")


def component(
    top: str, ports: Iterable[Port], found: list[Interface], register_bytes: int, constraints: str
) -> str:  # fmt: skip
    """The text of component.xml for module `top`, whose file is `<top>.v` in the same folder.

    Args:
        ports: of the module.
        found: its bus interfaces.
        register_bytes: of its register map. The top has the registers below.
        constraints: name of a file of constraints for synthesis of the top alone.
    """
    ElementTree.register_namespace("spirit", SPIRIT)
    ElementTree.register_namespace("xilinx", _XILINX)
    root = Element(_s("component"))
    for tag, text in (("vendor", "hotline"), ("library", "hotline"), ("name", top), ("version", _version())):
        _add(root, tag, text)
    buses = _add(root, "busInterfaces")
    for interface in found:
        _bus_interface(buses, interface)
    managers = [i for i in found if i.manager and i.bus[1] == "aximm"]
    if managers:
        spaces = _add(root, "addressSpaces")
        for interface in managers:
            space = _add(spaces, "addressSpace")
            _add(space, "name", interface.name)
            _add(space, "range", hex(1 << int(interface.parameters["ADDR_WIDTH"])))
            _add(space, "width", interface.parameters["DATA_WIDTH"])
    _memory_map(_add(root, "memoryMaps"), register_bytes)
    _model(_add(root, "model"), top, ports)
    _files(_add(root, "fileSets"), top, constraints)
    _add(root, "description", "Hotline accelerator for the training of recommendation models")
    _parameters(root, {"Component_Name": top})
    _extensions(_add(root, "vendorExtensions"))
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _s(tag: str) -> str:
    return f"{{{SPIRIT}}}{tag}"


def _add(parent: Element, tag: str, text: object = None, **attributes: str) -> Element:
    node = SubElement(parent, _s(tag), {_s(key): value for key, value in attributes.items()})
    if text is not None:
        node.text = str(text)
    return node


def _version() -> str:
    """Vivado's versions have two numbers."""
    return ".".join(__version__.split(".")[:2])


def _bus_interface(parent: Element, interface: Interface) -> None:
    node = _add(parent, "busInterface")
    _add(node, "name", interface.name)
    library, name, version = interface.bus
    vlnv = {"vendor": "xilinx.com", "library": library, "version": version}
    _add(node, "busType", name=name, **vlnv)
    _add(node, "abstractionType", name=f"{name}_rtl", **vlnv)
    role = _add(node, "master" if interface.manager else "slave")
    if name == "aximm":
        if interface.manager:
            _add(role, "addressSpaceRef", addressSpaceRef=interface.name)
        else:
            _add(role, "memoryMapRef", memoryMapRef="registers")
    maps = _add(node, "portMaps")
    for logical, physical in interface.ports.items():
        entry = _add(maps, "portMap")
        _add(_add(entry, "logicalPort"), "name", logical)
        _add(_add(entry, "physicalPort"), "name", physical)
    _parameters(node, interface.parameters)


def _parameters(parent: Element, values: dict[str, str]) -> None:
    node = _add(parent, "parameters")
    for name, value in values.items():
        parameter = _add(node, "parameter")
        _add(parameter, "name", name)
        _add(parameter, "value", value)


def _memory_map(parent: Element, register_bytes: int) -> None:
    node = _add(parent, "memoryMap")
    _add(node, "name", "registers")
    block = _add(node, "addressBlock")
    for tag, text in (("name", "registers"), ("baseAddress", "0x0"), ("range", hex(register_bytes)), ("width", "32"),
                      ("usage", "register")):  # fmt: skip
        _add(block, tag, text)
    for register in DEVICE_REGISTERS:
        if register.offset < register_bytes:
            _register(block, register)


def _register(parent: Element, register: Register) -> None:
    node = _add(parent, "register")
    for tag, text in (("name", register.name), ("description", register.doc), ("addressOffset", hex(register.offset)),
                      ("size", "32"), ("access", _ACCESS[register.access])):  # fmt: skip
        _add(node, tag, text)
    if register.reset is not None:
        _add(_add(node, "reset"), "value", hex(register.reset))
    for field in register.fields:
        entry = _add(node, "field")
        for tag, text in (("name", field.name), ("description", field.doc), ("bitOffset", str(field.low)),
                          ("bitWidth", str(field.width)), ("access", _ACCESS[register.access])):  # fmt: skip
            _add(entry, tag, text)
        if register.access is Access.W1C:
            _add(entry, "modifiedWriteValue", "oneToClear")


def _model(parent: Element, top: str, ports: Iterable[Port]) -> None:
    views = _add(parent, "views")
    for name, purpose in (("xilinx_anylanguagesynthesis", "synthesis"), ("xilinx_anylanguagebehavioralsimulation",
                                                                         "simulation")):  # fmt: skip
        view = _add(views, "view")
        _add(view, "name", name)
        _add(view, "envIdentifier", f":vivado.xilinx.com:{purpose}")
        _add(view, "language", "Verilog")
        _add(view, "modelName", top)
        _add(_add(view, "fileSetRef"), "localName", purpose)
    every = _add(parent, "ports")
    for port in ports:
        node = _add(every, "port")
        _add(node, "name", port.name)
        wire = _add(node, "wire")
        _add(wire, "direction", {"input": "in", "output": "out"}[port.direction])
        if port.width > 1:
            vector = _add(wire, "vector")
            _add(vector, "left", port.width - 1)
            _add(vector, "right", 0)


def _files(parent: Element, top: str, constraints: str) -> None:
    for purpose in ("synthesis", "simulation"):
        node = _add(parent, "fileSet")
        _add(node, "name", purpose)
        source = _add(node, "file")
        _add(source, "name", f"{top}.v")
        _add(source, "fileType", "verilogSource")
        if purpose == "synthesis":
            limits = _add(node, "file")
            _add(limits, "name", constraints)
            _add(limits, "userFileType", "xdc")
            _add(limits, "userFileType", "USED_IN_out_of_context")


def _extensions(parent: Element) -> None:
    """What Vivado shows in its catalogue."""

    def add(node: Element, tag: str, text: str | None = None) -> Element:
        child = SubElement(node, f"{{{_XILINX}}}{tag}")
        child.text = text
        return child

    core = add(parent, "coreExtensions")
    families = add(core, "supportedFamilies")
    for family in _FAMILIES:
        add(families, "family", family).set(f"{{{_XILINX}}}lifeCycle", "Beta")
    add(add(core, "taxonomies"), "taxonomy", "/UserIP")
    add(core, "displayName", "Hotline accelerator")
    add(core, "coreRevision", "1")
