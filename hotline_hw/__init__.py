"""The Hotline accelerator: its geometry, its register map and its hardware.

`spec` is plain data and needs nothing but the standard library. Everything else describes hardware and needs
Amaranth.
"""

__version__ = "0.1.0"
