"""The DMA shell: rings, descriptors and data movers around the stream core.

`device.HotlineDevice` is the whole accelerator. Imports go one way:

    device
        registers   takes the rings' indexes from rings/
        accounts, axil_split
        rings/   descriptors and completions; takes the check of windows from bus/
        streams/ rows/   between memory and the core, and rows of a GATHER; neither knows the other or rings/
        bus/     the AXI4 manager: bursts, windows
        granules, layouts   what all of them use
"""
