"""Plain data that hardware, simulation and host share: parameters, registers, words, descriptors. No Amaranth."""
