"""The bench's dark raws, developed by every network and baseline, against the photos they were made from.

cases -> for each case, system and window one Score

The dark raw is a real DNG that goes through `raw.read` and `pipeline.expose` like any photo: at its true ratio,
unfinished, 16 bit.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from darkroom import amplifier, image, pipeline, raw
from darkroom.errors import SettingsError
from darkroom.evaluate import baselines, metrics, simulated
from darkroom.evaluate.simulated import Case
from darkroom.frame import Frame
from darkroom.model import Model

Picture = NDArray[np.float32]

BASELINES = ("libraw", "bm3d")
BM3D_CENTRE = 384
"""Pixels along a side of the centre that BM3D is tried on: that takes a core a minute or more."""


@dataclass(frozen=True)
class Score:
    """How near a system's picture of a dark raw came to the photo."""

    system: str
    """A network's name, or one of BASELINES."""
    photo: str
    cfa: str
    ratio: float
    camera: str
    gain: float
    """K, DN per electron."""
    window: str
    """What was compared: height x width of the photo's centre, or what there is of it."""
    psnr: float
    """dB"""
    ssim: float
    chosen: str
    """What an oracle chose for this picture; empty where there was no choice."""


def scores(
    cases: Sequence[Case],
    networks: Mapping[str, Model],
    names: Sequence[str],
    *,
    crop: tuple[int, int] = simulated.CROP,
    centre: int | None = None,
    pictures: Path | None = None,
) -> Iterator[Score]:
    """Record, develop and score every case.

    networks: by the name to show. names: baselines. centre: pixels along a side of the middle on which everything is
    scored once more; BM3D, where asked for, works on nothing else. pictures: a folder to keep every picture and photo
    in, as PNG. Raises SettingsError for an unknown baseline.
    """
    unknown = sorted(set(names) - set(BASELINES))
    if unknown:
        raise SettingsError(f"{unknown[0]}: no such baseline; known are {', '.join(BASELINES)}")
    if "bm3d" in names and centre is None:
        centre = BM3D_CENTRE
    whole, small = f"{crop[0]}x{crop[1]}", f"{centre}x{centre}"
    for case in cases:
        photo = simulated.read_photo(case.photo, crop)
        made = _pictures(_frame(case, photo), case.ratio, networks, names)
        if pictures:
            _keep(pictures, case, made, photo)
        clean = photo.astype(np.float32) / np.float32(255)
        for system, picture in made.items():
            if system in networks or system in names:
                yield _score(system, case, whole, picture, clean)
        if centre is None:
            continue
        made, clean = {system: _centre(picture, centre) for system, picture in made.items()}, _centre(clean, centre)
        for system, picture in made.items():
            if system in networks or system in names:
                yield _score(system, case, small, picture, clean)
        if "bm3d" in names:
            denoised, sigma = baselines.bm3d(made["libraw"], clean)
            if pictures:
                _keep(pictures, case, {"bm3d": denoised}, photo)
            yield _score("bm3d", case, small, denoised, clean, f"sigma {sigma:g}")


def _frame(case: Case, photo: NDArray[np.uint8]) -> Frame:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "dark.dng"
        simulated.write(case, photo, path)
        return raw.read(path)


def _pictures(frame: Frame, ratio: float, networks: Mapping[str, Model], names: Sequence[str]) -> dict[str, Picture]:
    """Develop a frame by every system, LibRaw first;

    (H, W, 3) in [0, 1] each. BM3D needs LibRaw's, asked for or not.
    """
    made = {"libraw": baselines.libraw(frame, ratio)} if names else {}
    settings = pipeline.Settings(amp=amplifier.parse(f"{ratio:.9g}"), bits=16)
    for name, network in networks.items():
        made[name] = pipeline.expose(frame, network, settings).picture.astype(np.float32) / np.float32(65535)
    return made


def _score(system: str, case: Case, window: str, picture: Picture, clean: Picture, chosen: str = "") -> Score:
    return Score(
        system=system,
        photo=case.photo.name,
        cfa=case.cfa,
        ratio=case.ratio,
        camera=case.camera,
        gain=case.gain,
        window=window,
        psnr=metrics.psnr(picture, clean),
        ssim=metrics.ssim(picture, clean),
        chosen=chosen,
    )


def _centre(picture: Picture, side: int) -> Picture:
    height, width = min(side, picture.shape[0]), min(side, picture.shape[1])
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def _keep(folder: Path, case: Case, made: Mapping[str, Picture], photo: NDArray[np.uint8]) -> None:
    stem = f"{case.photo.stem}-{case.cfa}"
    for system, picture in made.items():
        path = folder / f"{stem}-x{case.ratio:g}-{system}.png"
        image.write((picture * 255 + 0.5).astype(np.uint8), path, exif=b"", overwrite=False)
    if not (folder / f"{stem}-photo.png").exists():
        image.write(photo, folder / f"{stem}-photo.png", exif=b"", overwrite=False)
