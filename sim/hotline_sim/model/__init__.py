"""The golden model: the specification of the accelerator, in NumPy, and the `model` backends built on it."""
