"""GATHER: from the names of rows to their data."""
