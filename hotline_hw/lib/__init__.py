"""Building blocks that know nothing of the accelerator: AXI, queues, streams, counters, register banks."""
