"""Everything that stands in for the board: the golden model, the simulator backends and the bench library."""
