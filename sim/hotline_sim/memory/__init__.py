"""Memory on the far side of the accelerator's AXI manager: how long it takes, and what it carries."""
