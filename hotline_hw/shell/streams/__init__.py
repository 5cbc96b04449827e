"""Between memory and the streams of the core."""
