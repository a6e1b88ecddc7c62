"""What the processor is called, by which alone AMD's can be told from Intel's."""

import platform
from functools import cache
from pathlib import Path

LISTING = Path("/proc/cpuinfo")
"""Where Linux describes its processors."""


@cache
def name() -> str:
    """The processor's name as its maker gives it, or what the system says of it."""
    lines = LISTING.read_text().splitlines() if LISTING.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, "") or platform.processor() or platform.machine()


def is_amd() -> bool:
    """Tell whether AMD made it, whose AVX512_BF16 is twice as fast as float32; Intel's takes half again as long."""
    return "AMD" in name()
