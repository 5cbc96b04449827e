"""Descriptors and completions: doorbells, fetch, decode, sequence, report."""
