"""GATHER: from the names of rows to their data, as they are or pooled."""
