"""From the lookup stream to the banks: unpack, hash, scatter."""
