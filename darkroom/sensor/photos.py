"""Which files count as clean photos: what dark raws are made of, for training and for the bench.

They are read by Pillow. imageio was weighed and left out: it reads JPEG, PNG, WebP and AVIF through Pillow itself, to
the same samples in the same time (0.09 and 0.11 s for a JPEG of 2048 pixels, best of two), and neither reads HEIC
without a package of its own. A TIFF of 16 bits is read as 8, which is what is made of photos anyway.
"""

SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".avif")
"""In lower case. Raw files count beside them where LibRaw's rendering may stand for a photo."""
