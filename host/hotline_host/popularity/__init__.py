"""How well popularity trackers choose the hot rows: `hotline popularity`."""

__all__ = ["HOT_ROWS"]

HOT_ROWS = "1%,5%,10%,25%"
"""Default numbers of hot rows to compare."""
