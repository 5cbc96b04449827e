"""The golden model of the core at speed: the same rules, compiled by Numba."""
