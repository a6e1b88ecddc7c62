"""Many files: which and where to, and decoding, network and writing side by side."""
