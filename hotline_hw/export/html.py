"""The register map as a small web site, by PeakRDL."""

from __future__ import annotations

import tempfile
from pathlib import Path

from .systemrdl import MAPS, systemrdl

__all__ = ["write_html"]


def write_html(folder: Path) -> Path:
    """Writes pages of registers, descriptors and completions to `folder`. Returns the first page.

    Raises:
        ModuleNotFoundError: systemrdl-compiler or peakrdl-html is not installed.
    """
    from peakrdl_html import HTMLExporter
    from systemrdl import RDLCompiler

    with tempfile.TemporaryDirectory() as work:
        source = Path(work, "hotline.rdl")
        source.write_text(systemrdl())
        roots = []
        for name in MAPS:
            compiler = RDLCompiler()
            compiler.compile_file(str(source))
            roots.append(compiler.elaborate(name))
        HTMLExporter().export(roots, str(folder), title="Hotline registers")
    return folder / "index.html"
