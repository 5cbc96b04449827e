"""The contract between the driver and what stands behind it: registers, shared memory, an interrupt."""
