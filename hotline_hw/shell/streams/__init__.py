"""What moves data between memory and the streams of the core."""
