"""The AXI4 manager: reads and writes in bursts, inside the registered windows."""
