"""Ways to train, side by side: the pipelines of `registry.py` on one log, in interleaved rounds."""
