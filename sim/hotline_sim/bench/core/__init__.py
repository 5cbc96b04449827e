"""Benches of the stream core."""
