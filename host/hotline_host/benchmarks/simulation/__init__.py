"""How fast co-simulation is: the simulated accelerator, its golden model, and training beside each."""
