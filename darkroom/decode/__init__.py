"""A raw file -> a Frame. `raw` is the door; LibRaw runs behind it, in a process of its own."""
