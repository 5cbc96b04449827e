"""Benches of the whole device."""
