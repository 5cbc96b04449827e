"""What decides where the rows of each mini-batch are: the accelerator, a recording of one, or software in its place."""
