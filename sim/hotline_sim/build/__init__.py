"""Builds what simulation runs, once, and finds the tools for it."""
