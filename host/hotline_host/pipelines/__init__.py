"""Ways to train: each takes mini-batches and trains one model."""
