"""Click logs: where they come from and how they are cut into mini-batches."""
