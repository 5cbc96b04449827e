"""From the banks to the result streams: gather, classify, dispatch; and the updates that go back."""
