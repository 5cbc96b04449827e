"""Model, embedding store, optimizers and the training step: PyTorch, and no driver."""
