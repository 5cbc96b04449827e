"""From the banks to the result streams: gather, classify, dispatch. The updates that go back are here too."""
