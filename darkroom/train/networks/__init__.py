"""The networks, one file per paper; each takes packed light and returns a picture."""
