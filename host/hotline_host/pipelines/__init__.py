"""Pipelines: ways to train one model, behind one interface. `registry.py` has them by name."""
