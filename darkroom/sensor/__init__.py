"""What a sensor adds to light, how that is measured, and dark raws made with it from clean photos."""
