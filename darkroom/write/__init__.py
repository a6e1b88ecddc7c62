"""A picture -> a file, in the formats of pictures, raw photos and pages."""
