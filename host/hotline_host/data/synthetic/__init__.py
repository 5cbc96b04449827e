"""Generated click logs with the skew and correlation of real ones."""
