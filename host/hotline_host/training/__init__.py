"""Model, embedding store, optimizers and training steps, in PyTorch. Knows no driver."""
