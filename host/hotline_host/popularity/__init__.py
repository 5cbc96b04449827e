"""How well trackers of popularity choose the rows that are hot: `hotline popularity`."""

__all__ = ["HOT_ROWS"]

HOT_ROWS = "1%,5%,10%,25%"
"""Numbers of hot rows to compare, unless told otherwise."""
