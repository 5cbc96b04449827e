"""The device driver: it knows a `Device` and NumPy, and no PyTorch."""
