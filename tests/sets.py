"""Tiny sets of real pairs, made on the spot: SID's lists, the Canon study's folders, folders of equal names, CSVs.

Every file is a DNG, whatever its suffix: LibRaw goes by the content.
"""

import csv
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from darkroom.develop import cfa as mosaics
from darkroom.frame import CFA, Exposure
from darkroom.write import dng

BLACK, WHITE = 512, 16383
GAINS = (2.0, 1.0, 1.5)
MATRIX = ((1.7, -0.5, -0.2), (-0.2, 1.5, -0.3), (0.1, -0.6, 1.5))
SIZE = (96, 120)
"""Rows and columns of sites, whole cells of Bayer and X-Trans."""
XTRANS_SIZE = (516, 516)
"""The least that LibRaw renders: it demosaics X-Trans in tiles of 512."""


def scene(seed: int, size: tuple[int, int] = SIZE) -> NDArray[np.float32]:
    """Light of a scene that no other seed has: (H, W, 3) white-balanced camera RGB in 0.05 .. 0.8, of many sizes."""
    rng = np.random.default_rng(seed)
    light = np.zeros((*size, 3))
    for side in (4, 8, 24):
        coarse = rng.random((-(-size[0] // side) + 1, -(-size[1] // side) + 1, 3))
        light += np.kron(coarse, np.ones((side, side, 1)))[: size[0], : size[1]]
    light -= light.min()
    return (0.05 + 0.75 * light / light.max()).astype(np.float32)


def write(
    path: Path,
    light: NDArray[np.float32],
    *,
    ratio: float = 1.0,
    exposure: Exposure,
    cfa: CFA = "bayer",
    noise: float = 2.0,
    seed: int = 0,
    shift: tuple[int, int] = (0, 0),
    **as_dng_write,
) -> Path:
    """Record white-balanced light, `ratio` times too dark, as a raw file; noise: sd in DN; shift: rows and columns."""
    rng = np.random.default_rng(seed)
    balanced = mosaics.sample(np.roll(light, shift, (0, 1)) / np.float32(GAINS), cfa)
    recorded = BLACK + balanced / ratio * (WHITE - BLACK) + noise * rng.standard_normal(balanced.shape)
    path.parent.mkdir(parents=True, exist_ok=True)
    settings = {"white_balance": GAINS, "camera_to_srgb": MATRIX, "black": BLACK, "white": WHITE} | as_dng_write
    dng.write(path, np.clip(np.rint(recorded), 0, WHITE).astype(np.uint16), cfa=cfa, exposure=exposure, **settings)
    return path


def _names(number: int, suffix: str, times: tuple[float, ...], shots: int) -> list[tuple[str, float]]:
    """Names of a scene's shorts and their exposure times, as SID and the Canon study have them."""
    return [(f"{number:05}_{shot:02}_{time:g}s{suffix}", time) for time in times for shot in range(shots)]


def sid(
    folder: Path,
    *,
    scenes: tuple[int, ...] = (1, 2, 10003),
    times: tuple[float, ...] = (0.1, 0.04),
    shots: int = 2,
    cfa: CFA = "bayer",
    size: tuple[int, int] | None = None,
    iso: float = 200,
    tell: bool = True,
    shifts: dict[int, tuple[int, int]] | None = None,
) -> Path:
    """Write a set as SID's Sony or Fuji one, references of 10 s, and return its list file.

    tell: whether EXIF has the exposure. shifts: scene -> rows and columns by which its shorts are displaced.
    """
    brand, suffix = ("Sony", ".ARW") if cfa == "bayer" else ("Fuji", ".RAF")
    size = size or (SIZE if cfa == "bayer" else XTRANS_SIZE)
    rows = []
    for number in scenes:
        light = scene(number, size)
        reference = f"{brand}/long/{number:05}_00_10s{suffix}"
        told = Exposure(10 if tell else 0, iso, 9.0)
        write(folder / reference, light, exposure=told, cfa=cfa, seed=number)
        for name, time in _names(number, suffix, times, shots):
            write(
                folder / brand / "short" / name,
                light,
                ratio=10 / time,
                exposure=Exposure(time if tell else 0, iso, 9.0),
                cfa=cfa,
                seed=len(rows) + 100 * number,
                shift=(shifts or {}).get(number, (0, 0)),
            )
            rows.append(f"./{brand}/short/{name} ./{reference} ISO{iso:g} F9")
    file = folder / f"{brand}_train_list.txt"
    file.write_text("\n".join(rows) + "\n")
    return file


def canon(folder: Path, *, scenes: tuple[int, ...] = (1, 2), size: tuple[int, int] = SIZE) -> Path:
    """Write a set as the Canon study's, short/ and long/ with exposures in the names, and return its folder."""
    for number in scenes:
        light = scene(number, size)
        exposure = Exposure(5, 200, 2.8)
        write(folder / "long" / f"{number:05}_00_5s.CR2", light, exposure=exposure, seed=number)
        for name, time in _names(number, ".CR2", (0.1, 0.05), 1):
            exposure = Exposure(time, 200, 2.8)
            write(folder / "short" / name, light, ratio=5 / time, exposure=exposure, seed=number + 100)
    return folder


def folders(folder: Path, *, scenes: tuple[int, ...] = (1, 2, 3), cfa: CFA = "bayer", ratio: float = 100) -> Path:
    """Write a short and a reference of equal names per scene, and return the folder of both."""
    for number in scenes:
        light = scene(number, SIZE if cfa == "bayer" else XTRANS_SIZE)
        write(folder / "long" / f"IMG_{number:04}.dng", light, exposure=Exposure(1, 100, 4), cfa=cfa, seed=number)
        exposure = Exposure(1 / ratio, 100, 4)
        write(
            folder / "short" / f"IMG_{number:04}.dng", light, ratio=ratio, exposure=exposure, cfa=cfa, seed=-number % 99
        )
    return folder


def table(folder: Path, rows: list[dict[str, str]], name: str = "pairs.csv") -> Path:
    """Write a CSV of pairs beside the files it names."""
    file = folder / name
    with file.open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return file
