"""Developed light -> linear DNG: what raw converters open as if the camera had been that good.

(H, W, 3) uint16 linear camera RGB, not white-balanced -> a .dng file of LinearRaw samples; whole, or not there at all.

IFD0 holds a preview, EXIF and colour; the samples hang below it (DNG 1.7, chapter 2), in tiles of lossless JPEG, which
every core encodes a few of at once. No second copy of the picture exists.
"""

import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from darkroom import tiff
from darkroom.colour import D50, D65_TO_D50
from darkroom.frame import SRGB_TO_XYZ
from darkroom.tiff import ASCII, BYTE, LONG, RATIONAL, SHORT, SIGNED_RATIONAL, Field, Fields, field
from darkroom.write import image, part

Array = NDArray[np.float32]

TILE = 512
"""Most pixels along one side of a tile. A tile wider than the picture, LibRaw reads askew."""
WHITE = 65535
"""DN of white."""

_SOFTWARE, _SUB_IFDS, _DNG_VERSION = 305, 330, 50706
_EXIF = 34665
_COLOR_SPACE = 40961
_D65 = 21
"""Of CalibrationIlluminant1: the light that camera_to_srgb holds for."""


@dataclass(frozen=True, eq=False)
class Negative:
    """What a linear DNG tells beside its samples."""

    camera: str
    """Make and model."""
    neutral: Array
    """(3,) camera RGB of what is to be white, the greatest 1."""
    camera_to_srgb: Array
    """(3, 3), as in `Frame`."""
    daylight: Array
    """(3,) gains for daylight, green = 1."""
    orientation: int
    """EXIF orientation, 1 to 8, of the samples and of the preview."""
    denoised: float
    """0 as noisy as it was, 1 denoised as far as the network could."""
    preview: NDArray[np.uint8]
    """(h, w, 3) sRGB, of the scene's shape."""
    pixel_aspect: float = 1.0
    """Width of a pixel over its height."""


def write(
    path: Path,
    light: NDArray[np.uint16],
    negative: Negative,
    *,
    ratio: float,
    tags: dict[int, Field | Fields],
    overwrite: bool,
) -> None:
    """Write the light beside its place, flush it to the disk, then move it there in one step.

    light: (H, W, 3) linear camera RGB as a sensor would have recorded it, 0 black, 65535 white. tags: as
    `exif.directories` makes them. A file already there is replaced only if `overwrite`. Raises OutputError as
    `image.write` does, and leaves nothing behind.
    """
    part.whole(path, partial(_encode, light=light, negative=negative, ratio=ratio, tags=tags), overwrite=overwrite)


def is_own(path: Path) -> bool:
    """Tell whether a file is a linear DNG that darkroom made: by its Software, and a preview before the samples."""
    try:
        with path.open("rb") as file:
            order, place = tiff.header(file, 0)
            main, _ = tiff.read(file, 0, place, order)
    except OSError:  # raw.read will say what is wrong with it
        return False
    software = main[_SOFTWARE].value if _SOFTWARE in main else b""
    return software.startswith(b"darkroom ") and _DNG_VERSION in main and _SUB_IFDS in main


def _encode(
    file: BinaryIO,
    light: NDArray[np.uint16],
    negative: Negative,
    ratio: float,
    tags: dict[int, Field | Fields],
) -> None:
    file.write(struct.pack("<2sHI", b"II", 42, 0))  # where IFD0 lies is known at the end
    places, sizes = [], []
    with ThreadPoolExecutor(image.WORKERS) as pool:
        for tile in pool.map(partial(_compressed, _tile(light)), _tiles(light)):
            places.append(file.tell())
            sizes.append(len(tile))
            file.write(tile + bytes(len(tile) % 2))
    shown = image.jpeg(negative.preview)
    place = file.tell()
    file.write(shown + bytes(len(shown) % 2))
    samples = _samples(light, negative, places, sizes)
    main = _told(tags) | _colour(negative) | _preview(negative.preview, place, len(shown))
    main |= {274: field(SHORT, negative.orientation), _SUB_IFDS: samples}  # 274: Orientation
    main[700] = Field(BYTE, _xmp(ratio))  # XMP
    at = file.tell()
    file.write(tiff.lay_out(main, at))
    file.seek(4)
    file.write(struct.pack("<I", at))


def _tiles(light: NDArray[np.uint16]) -> Iterator[NDArray[np.uint16]]:
    height, width, _ = light.shape
    rows, columns = _tile(light)
    for top in range(0, height, rows):
        for left in range(0, width, columns):
            yield light[top : top + rows, left : left + columns]


def _tile(light: NDArray[np.uint16]) -> tuple[int, int]:
    """Rows and columns of a tile: equal ones, so that little is filled up.

    They are multiples of 16, as TIFF wants them, but where the picture itself is smaller than a tile may be (TILE).
    """
    rows, columns = (side if side <= TILE else -(-side // -(-side // TILE) // 16) * 16 for side in light.shape[:2])
    return rows, columns


def _compressed(size: tuple[int, int], tile: NDArray[np.uint16]) -> bytes:
    """Encode a tile as lossless JPEG of predictor 1, the only one that RawSpeed knows; filled up at the edges."""
    from imagecodecs import jpeg8_encode

    below, beside = size[0] - tile.shape[0], size[1] - tile.shape[1]
    full = np.ascontiguousarray(tile)
    if below or beside:  # with what costs nothing: a row's own last pixel, and rows of zeros
        full = np.pad(np.pad(tile, ((0, 0), (0, beside), (0, 0)), "edge"), ((0, below), (0, 0), (0, 0)))
    encoded = jpeg8_encode(full, lossless=True, predictor=1, bitspersample=16, colorspace="RGB", outcolorspace="RGB")
    return bytes(encoded)


def _told(tags: dict[int, Field | Fields]) -> dict[int, Field | Fields]:
    """What holds of the photo, less what only a finished picture has."""
    main = dict(tags)
    shot = main.get(_EXIF)
    if isinstance(shot, dict):
        main[_EXIF] = {tag: told for tag, told in shot.items() if tag != _COLOR_SPACE}
    return main


def _colour(negative: Negative) -> Fields:
    """The version, and what makes camera RGB a colour."""
    matrix = np.asarray(negative.camera_to_srgb, np.float64)
    to_camera = np.linalg.inv(matrix) / np.asarray(negative.daylight, np.float64)[:, None] @ np.linalg.inv(SRGB_TO_XYZ)
    forward = D65_TO_D50 @ SRGB_TO_XYZ @ matrix
    forward *= (D50 / forward.sum(1))[:, None]  # white is white, to the last digit
    return {
        50706: field(BYTE, (1, 4, 0, 0)),  # DNGVersion
        50707: field(BYTE, (1, 2, 0, 0)),  # DNGBackwardVersion: that of ForwardMatrix
        50708: field(ASCII, negative.camera or "unknown"),  # UniqueCameraModel
        50721: field(SIGNED_RATIONAL, to_camera),  # ColorMatrix1
        50728: field(RATIONAL, negative.neutral),  # AsShotNeutral
        50730: field(SIGNED_RATIONAL, 0),  # BaselineExposure: the ratio is in the samples
        50778: field(SHORT, _D65),  # CalibrationIlluminant1
        50964: field(SIGNED_RATIONAL, forward),  # ForwardMatrix1
        51110: field(LONG, 1),  # DefaultBlackRender: none, for black is black
    }


def _preview(picture: NDArray[np.uint8], place: int, size: int) -> Fields:
    height, width, _ = picture.shape
    return {
        254: field(LONG, 1),  # NewSubfileType: a reduced picture of the samples
        256: field(LONG, width),
        257: field(LONG, height),
        258: field(SHORT, (8, 8, 8)),
        259: field(SHORT, 7),  # Compression: JPEG
        262: field(SHORT, 6),  # PhotometricInterpretation: YCbCr
        273: field(LONG, place),
        277: field(SHORT, 3),
        278: field(LONG, height),
        279: field(LONG, size),
        284: field(SHORT, 1),
        529: field(RATIONAL, (0.299, 0.587, 0.114)),  # YCbCrCoefficients
        530: field(SHORT, (1, 1)),  # YCbCrSubSampling
        531: field(SHORT, 1),  # YCbCrPositioning
        532: field(RATIONAL, (0, 255, 128, 255, 128, 255)),  # ReferenceBlackWhite
        50970: field(LONG, 2),  # PreviewColorSpace: sRGB
    }


def _samples(light: NDArray[np.uint16], negative: Negative, places: list[int], sizes: list[int]) -> Fields:
    height, width, _ = light.shape
    return {
        254: field(LONG, 0),  # NewSubfileType: the photo itself
        256: field(LONG, width),
        257: field(LONG, height),
        258: field(SHORT, (16, 16, 16)),
        259: field(SHORT, 7),  # Compression: lossless JPEG
        262: field(SHORT, 34892),  # PhotometricInterpretation: LinearRaw
        277: field(SHORT, 3),
        284: field(SHORT, 1),  # PlanarConfiguration: RGBRGB
        322: field(LONG, _tile(light)[1]),
        323: field(LONG, _tile(light)[0]),
        324: field(LONG, places),
        325: field(LONG, sizes),
        50713: field(SHORT, (1, 1)),  # BlackLevelRepeatDim
        50714: field(LONG, (0, 0, 0)),  # BlackLevel
        50717: field(LONG, 3 * [WHITE]),  # WhiteLevel
        # DefaultScale, across and down: none is below 1, so that no pixel is lost
        50718: field(RATIONAL, (max(1.0, negative.pixel_aspect), max(1.0, 1 / negative.pixel_aspect))),
        50719: field(LONG, (0, 0)),  # DefaultCropOrigin
        50720: field(LONG, (width, height)),  # DefaultCropSize
        50738: field(RATIONAL, 0),  # AntiAliasStrength
        50829: field(LONG, (0, 0, height, width)),  # ActiveArea
        50935: field(RATIONAL, negative.denoised),  # NoiseReductionApplied
    }


def _xmp(ratio: float) -> bytes:
    told = f'xmlns:darkroom="urn:darkroom:1.0:" darkroom:Ratio="{ratio:.6g}"'
    return (
        '<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?><x:xmpmeta xmlns:x="adobe:ns:meta/">'
        '<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        f'<rdf:Description rdf:about="" {told}/></rdf:RDF></x:xmpmeta><?xpacket end="w"?>'
    ).encode()
