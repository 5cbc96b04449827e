"""The memory behind the accelerator's AXI manager: its contents and its timing."""
