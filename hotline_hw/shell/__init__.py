"""The DMA shell: rings, descriptors and data movers around the stream core.

`device.HotlineDevice` is the whole accelerator.
"""
