"""The Hotline accelerator: its geometry, its register map and its hardware.

`params`, `feistel`, `words` and `regmap` are plain data and need nothing but the standard library;
every other module describes hardware and needs Amaranth.
"""

__version__ = "0.1.0"
