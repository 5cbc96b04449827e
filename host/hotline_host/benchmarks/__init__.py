"""Speeds: of ways to train (`rivals/`), and of the co-simulation itself (`simulation/`)."""
