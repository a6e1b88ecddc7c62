"""Raw file -> Frame: any Bayer or X-Trans file that LibRaw reads, at the canonical CFA phase.

path -> mosaic (H, W) uint16 DN, and what the file says of its levels, gains, colours and circumstances; or, for
training and evaluation, LibRaw's own (H, W, 3) uint16 picture of it as well.

Phase dies here: the mosaic is continued outward, by at most 1 row and column (Bayer) or 5 (X-Trans), until its first
site is the canonical cell's. A file that decodes to zeros or to garbage is refused, for no later stage could tell it
from a dark photo.
"""

import math
import stat
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from darkroom.decode import decoder, intact, levels, tags
from darkroom.decode.decoder import Facts, Refusal, Rendering
from darkroom.decode.tags import Tags
from darkroom.errors import DarkroomError, RawError
from darkroom.frame import CELL, CFA, CFAS, SRGB_TO_XYZ, Exposure, Frame, Sources, Window

Kind = Literal["camera", "srgb"]
Curve = Literal["srgb", "bt709"]
CURVES: dict[Curve, tuple[float, float]] = {"srgb": (2.4, 12.92), "bt709": (2.222, 4.5)}
"""Transfer curve -> power, and slope of the linear foot. BT.709's, LibRaw's default, is that of SID's references."""

_ORIENTATION = {0: 1, 1: 2, 2: 4, 3: 3, 4: 5, 5: 8, 6: 6, 7: 7}
"""LibRaw's flip -> EXIF orientation, the inverse of "50132467" in its tiff.cpp."""
_NO_FILTER = 6
"""LibRaw's colour of a site without a colour filter."""
_LEAST_BITS = 0.5
"""bits of file a site: lossless JPEG needs at least 1, so below this the samples are not there."""
_GAINS = (0.02, 50.0)
"""A gain outside is no white balance but a broken tag."""
_ASPECTS = (0.4, 2.5)
"""Width of a photosite over its height that is believed: 0.5 is a Nikon D1X, 1.53 a Kodak DC120."""
_LEAST_XTRANS = 512
"""sites a side that LibRaw's X-Trans demosaic wants: its tile (TS in xtrans_demosaic.cpp)."""
_SMALLEST = 12
"""sites a side: two X-Trans cells."""
_MOST_DEFECTS = 0.01
"""of the sites: a file that calls more of them bad is wrong, as one that marks them by a value that black has."""
_RAISED = 1 / 500
"""of the white level: where a file states no black, no site reading below this much is worth a note."""

_OTHER_CAMERA = "use a file of a Bayer or X-Trans camera"
_MOSAIC_DNG = (
    "give the raw file it was made from, or make a DNG of that anew without linear (demosaicked) or small size"
)
"""What works instead of a linear DNG: converters write mosaics unless told otherwise."""
_UNDECODED = {9: "a GoPro GPR (VC-5 compression)", 52546: "a DNG of JPEG XL samples"}
"""What TIFF compressions that LibRaw as rawpy builds it cannot decode belong to."""
_NO_RAW = {
    b"\xff\xd8\xff": "a JPEG",
    b"\x89PNG": "a PNG",
    b"GIF8": "a GIF",
    b"8BPS": "a Photoshop file",
    b"%PDF": "a PDF",
    b"RIFF": "a WebP or a film",
}
"""What files begin with that people take for raws."""


def read(path: Path, *, patience: float = decoder.PATIENCE) -> Frame:
    """Decode a raw file.

    patience: seconds before decoding counts as hung; large files get more. Raises RawError for a file that is
    missing, damaged, no raw, or no mosaic of red, green and blue sites. Threads may call this; files are decoded one
    at a time.
    """
    told, canvas = _opened(path)
    decoded = decoder.decode(path, canvas, patience=patience)
    if isinstance(decoded, Refusal):
        raise _refused(path, decoded, told)
    return _sound(path, *decoded, told)


def render(
    path: Path, *, kind: Kind, curve: Curve, patience: float = decoder.PATIENCE
) -> tuple[Frame, NDArray[np.uint16]]:
    """Decode a raw file and have LibRaw develop it, as SID had its references developed.

    Returns the frame, and the picture of its visible window, (H, W, 3), not turned: LibRaw's own demosaic, clipped at
    its white level, not brightened (rawpy's use_camera_wb, no_auto_bright, output_bps=16). kind "srgb": linear sRGB
    under the curve; "camera": white-balanced camera RGB under it. Where the file has no white balance of the camera,
    the frame's is used, and none where that is unknown, too. LibRaw scales so that the least gain is 1. Raises RawError
    as `read` does.
    """
    told, canvas = _opened(path)

    def style(facts: Facts, mosaic: NDArray[np.uint16]) -> Rendering:
        gains = None
        if _gains(facts.camera_gains) is None:
            daylight = None if _camera_to_srgb(facts) is None else _gains(facts.daylight_gains)
            red, green, blue = (1.0, 1.0, 1.0) if daylight is None else map(float, daylight)
            gains = (red, green, blue, green)
        cfa, phase = _phase(path, facts)
        black = float(levels.black(facts, told, phase, CELL[cfa]).min())
        span = round(levels.white(facts.white, black, mosaic) - black)
        return Rendering("sRGB" if kind == "srgb" else "raw", CURVES[curve], gains, span)

    rendered = decoder.render(path, canvas, style, patience=patience)
    if isinstance(rendered, Refusal):
        raise _refused(path, rendered, told)
    facts, mosaic, picture = rendered
    frame = _sound(path, facts, mosaic, told)
    if isinstance(picture, Refusal):
        if frame.cfa == "xtrans" and min(mosaic.shape) < _LEAST_XTRANS:
            sites = f"{mosaic.shape[1]} x {mosaic.shape[0]} sites"
            raise RawError(f"{path}: {sites}, LibRaw wants {_LEAST_XTRANS} a side of X-Trans; give a full-size raw")
        found = f"LibRaw decodes, but cannot render it ({picture.kind}: {picture.detail})"
        raise RawError(f"{path}: {found}; leave it out, or copy it again from the card")
    seen = frame.visible
    top, left = (start - begin for start, begin in zip((seen.top, seen.left), _phase(path, facts)[1], strict=True))
    if picture.shape[:2] != mosaic.shape:  # LibRaw stretches what has no square photosites
        size = f"{picture.shape[1]} x {picture.shape[0]} pixels of {mosaic.shape[1]} x {mosaic.shape[0]} sites"
        raise RawError(f"{path}: LibRaw renders {size}; {_OTHER_CAMERA} with square photosites")
    return frame, picture[top : top + seen.height, left : left + seen.width]


def _opened(path: Path) -> tuple[Tags, decoder.Canvas]:
    """Read a file's tags, and prepare the array for its mosaic: the picture's part of one that starts on a cell."""
    size = _size(path)
    try:
        told = tags.read(path)
    except OSError as error:
        raise RawError(f"{path}: cannot be read ({error.strerror}); check its permissions and the drive") from error

    def canvas(facts: Facts) -> NDArray[np.uint16]:
        if size * 8 < facts.height * facts.width * _LEAST_BITS:
            sites = facts.height * facts.width / 1e6
            raise _damaged(path, f"{size} bytes cannot hold {sites:.1f} million sites")
        if told.filters not in ((), (0, 1, 2)):
            raise RawError(f"{path}: its filters are not red, green and blue; {_OTHER_CAMERA}")
        _, (down, right) = _phase(path, facts)
        return np.empty((facts.height + down, facts.width + right), np.uint16)[down:, right:]

    return told, canvas


def _sound(path: Path, facts: Facts, picture: NDArray[np.uint16], told: Tags) -> Frame:
    """Refuse what decoded to no photo, and complete the mosaic around the picture to a frame."""
    lost = intact.lost_from(picture, facts.white)
    if lost is not None:
        what = "zeros" if not picture[lost:].any() else "garbage"
        raise _damaged(path, f"decoded to {what} from row {lost} of {facts.height}")
    cfa, phase = _phase(path, facts)
    whole = picture.base
    assert whole is not None  # what `canvas` made a view of
    return _frame(path, facts, told, cfa, phase, _continued(whole, phase, len(CELL[cfa])))


def _size(path: Path) -> int:
    """Return the bytes of a file; raises RawError for what is none."""
    try:
        status = path.stat()
    except FileNotFoundError as error:
        raise RawError(f"{path}: no such file; check the name") from error
    except (OSError, ValueError) as error:
        raise RawError(f"{path}: cannot be read ({error}); check the name and its permissions") from error
    if stat.S_ISDIR(status.st_mode):
        raise RawError(f"{path}: a folder; name the raw files in it")
    if not stat.S_ISREG(status.st_mode):
        raise RawError(f"{path}: no regular file; copy it to a drive first")
    if not status.st_size:
        raise _damaged(path, "an empty file")
    return status.st_size


def _damaged(path: Path, found: str) -> RawError:
    return RawError(f"{path}: {found}; copy it again from the card")


def _refused(path: Path, refusal: Refusal, told: Tags) -> DarkroomError:
    """Put into words why LibRaw decodes a file not at all, or to no mosaic."""
    if refusal.kind in ("ImportError", "ModuleNotFoundError"):
        return DarkroomError(f"rawpy: cannot be loaded ({refusal.detail}); install darkroom again")
    if any(word in told.camera.upper() for word in ("SCAN", " LS-")):  # Nikon's scanners write NEF too
        return RawError(f"{path}: a scan ({told.camera}) has no mosaic; {_OTHER_CAMERA}")
    if refusal.kind == "Stack":
        wanted = _MOSAIC_DNG if told.dng else "give the camera's own full-size raw"
        return RawError(f"{path}: {_no_mosaic(path, told)}; {wanted}")
    if refusal.kind in ("LibRawFileUnsupportedError", "LibRawNotImplementedError", "NotSupportedError"):
        if told.compression in _UNDECODED:
            kind = _UNDECODED[told.compression]
            return RawError(f"{path}: {kind}, which LibRaw cannot decode; convert it to a lossless DNG first")
        kind = next((kind for head, kind in _NO_RAW.items() if told.head.startswith(head)), "")
        if kind:
            return RawError(f"{path}: {kind}, no raw photo; give the camera's raw file")
        if told.camera:
            found = f"a file of {told.camera} that LibRaw cannot decode, or damaged"
            return RawError(f"{path}: {found}; convert it to DNG, or copy it again from the card")
        return RawError(f"{path}: no raw photo; give the camera's raw file")
    if refusal.kind in ("LibRawIOError", "LibRawDataError"):
        return _damaged(path, "cut short or damaged")
    if refusal.kind == "Window":
        return _damaged(path, f"its header tells of {refusal.detail}")
    if refusal.kind in ("LibRawTooBigError", "LibRawUnsufficientMemoryError", "MemoryError"):
        return _damaged(path, "damaged: its header asks for more memory than any photo needs")
    return _damaged(path, f"LibRaw cannot decode it ({refusal.kind}: {refusal.detail})")


def _no_mosaic(path: Path, told: Tags) -> str:
    """Name a file whose pixels hold several colours each."""
    if told.head.startswith(b"FOVb"):
        return "a Foveon raw has no mosaic"
    if told.dng:
        return "a linear DNG is demosaicked already"
    if told.camera.lower().startswith(("canon", "nikon")):
        return "a small raw (sRAW, mRAW) has no mosaic"
    return "its pixels hold all colours already, there is no mosaic"


def _phase(path: Path, facts: Facts) -> tuple[CFA, tuple[int, int]]:
    """Find the CFA and how many rows and columns above and left of the picture the nearest canonical cell begins."""
    if facts.height < _SMALLEST or facts.width < _SMALLEST:
        raise _damaged(path, f"a mosaic of {facts.width} x {facts.height} sites, under {_SMALLEST} a side")
    if (facts.colours == _NO_FILTER).all():
        raise RawError(f"{path}: a monochrome raw has no colours to develop; {_OTHER_CAMERA}")
    if facts.names not in ("RGBG", "RGB"):
        raise RawError(f"{path}: its filters are {facts.names}, not red, green and blue; {_OTHER_CAMERA}")
    colours = np.where(facts.colours == 3, 1, facts.colours)  # 3 is the second green
    grid = np.arange(len(colours))
    for cfa in CFAS:
        cell = CELL[cfa]
        side = len(cell)
        phases = [(down, right) for down in range(side) for right in range(side)]
        for down, right in sorted(phases, key=sum):  # X-Trans repeats after (3, 3) already: take the nearer
            if (cell[np.ix_((grid + down) % side, (grid + right) % side)] == colours).all():
                return cfa, (down, right)
    raise RawError(f"{path}: neither a Bayer nor an X-Trans mosaic; {_OTHER_CAMERA}")


def _continued(mosaic: NDArray[np.uint16], phase: tuple[int, int], period: int) -> NDArray[np.uint16]:
    """Fill the rows above and the columns left of the picture from one CFA period inside, so that colours hold."""
    down, right = phase
    mosaic[:down, right:] = mosaic[period : period + down, right:]
    mosaic[:, :right] = mosaic[:, period : period + right]
    return mosaic


def _frame(path: Path, facts: Facts, told: Tags, cfa: CFA, phase: tuple[int, int], mosaic: NDArray[np.uint16]) -> Frame:
    """Make sense of the facts, and note what had to be assumed."""
    notes = []
    black = levels.black(facts, told, phase, CELL[cfa])
    if not black.max() < facts.white <= 65535:
        raise _damaged(path, f"white level {facts.white:.0f} is not above black level {black.max():.0f}")
    if not black.any() and (floor := int(mosaic.min())) > facts.white * _RAISED:
        notes.append(f"black level 0 in the file, yet no site reads below {floor} DN: expect a grey veil")

    white = levels.white(facts.white, float(black.min()), mosaic[phase[0] :, phase[1] :])
    matrix = _camera_to_srgb(facts)
    if matrix is None:
        notes.append("no colour calibration in the file: colours are the sensor's own")
    daylight = None if matrix is None else _gains(facts.daylight_gains)
    white_balance = _gains(facts.camera_gains)
    if white_balance is None:
        white_balance = daylight
        notes.append(f"no white balance of the camera in the file{': unknown' if daylight is None else ''}")
    aspect = facts.pixel_aspect
    if not 0.995 < aspect < 1.005:  # LibRaw's own tolerance
        shaped = _ASPECTS[0] < aspect < _ASPECTS[1]
        shape = "is stretched to the scene's shape" if shaped else "keeps the sensor's shape"
        notes.append(f"photosites are {aspect:.3g} times as wide as high: the picture {shape}")
        aspect = aspect if shaped else 1.0
    else:
        aspect = 1.0
    if "corrupt" in facts.chatter:
        notes.append("LibRaw met corrupt data: look for damage in the picture")
    return Frame(
        mosaic=mosaic,
        cfa=cfa,
        black=black,
        white=white,
        white_balance=white_balance,
        daylight=daylight,
        pixel_aspect=aspect,
        camera_to_srgb=np.eye(3, dtype=np.float32) if matrix is None else matrix,
        exposure=Exposure(seconds=_known(facts.seconds), iso=_iso(facts, told), aperture=_known(facts.aperture)),
        visible=_cropped(facts, told, phase),
        orientation=_ORIENTATION.get(facts.flip, 1),
        camera=told.camera,
        bits=int(facts.white).bit_length(),
        defects=_defects(facts, told, phase, mosaic),
        notes=tuple(notes),
        sources=Sources(
            black="file's tags" if levels.has_black(facts, told) else "LibRaw",
            white="brightest site" if white < facts.white else "LibRaw",
            white_balance=_balanced(facts, white_balance),
            colours=_calibrated(facts, matrix),
        ),
    )


def _iso(facts: Facts, told: Tags) -> float:
    """ISO as LibRaw has it, or as EXIF where LibRaw has none, or the most that its 16 bits hold."""
    found = _known(facts.iso)
    return told.iso if told.iso and found in (0, tags.FULL_ISO) else found


def _balanced(facts: Facts, white_balance: NDArray[np.float32] | None) -> str:
    return "unknown" if white_balance is None else "daylight" if _gains(facts.camera_gains) is None else "camera"


def _calibrated(facts: Facts, matrix: NDArray[np.float32] | None) -> str:
    return "unknown" if matrix is None else "file" if _has_matrix(facts) else "LibRaw's table"


def _cropped(facts: Facts, told: Tags, phase: tuple[int, int]) -> Window:
    """Find what is to be seen of the mosaic: all that is picture, or what a DNG asks for of it."""
    whole = Window(*phase, facts.height, facts.width)
    if not told.crop:
        return whole
    starts = told.black_starts or (facts.top, facts.left)  # of ActiveArea, which LibRaw's picture may begin inside of
    top = max(0, round(told.crop[0]) + starts[0] - facts.top)
    left = max(0, round(told.crop[1]) + starts[1] - facts.left)
    height = min(round(told.crop[2]), facts.height - top)
    width = min(round(told.crop[3]), facts.width - left)
    if min(height, width) < _SMALLEST:  # no crop of a photo: the tag is wrong
        return whole
    return Window(phase[0] + top, phase[1] + left, height, width)


def _defects(facts: Facts, told: Tags, phase: tuple[int, int], mosaic: NDArray[np.uint16]) -> NDArray[np.intp]:
    """(n, 2) rows and columns of the mosaic that the file calls bad; none where it calls all too many so."""
    sites = told.defects - (facts.top, facts.left) + phase
    if told.defect_value is not None:
        sites = np.concatenate((sites, np.argwhere(mosaic == told.defect_value)))
    sites = sites[((sites >= 0) & (sites < mosaic.shape)).all(1)]
    return sites if len(sites) < _MOST_DEFECTS * mosaic.size else np.empty((0, 2), np.intp)


def _gains(gains: NDArray[np.float32]) -> NDArray[np.float32] | None:
    """Scale (4,) gains to green = 1; None where one is missing, zero, negative or absurd."""
    with np.errstate(all="ignore"):
        scaled = gains[:3] / gains[1]
    sound = np.isfinite(scaled).all() and (gains[:3] > 0).all()
    sound = sound and _GAINS[0] < scaled.min() and scaled.max() < _GAINS[1]
    return scaled.astype(np.float32) if sound else None


def _camera_to_srgb(facts: Facts) -> NDArray[np.float32] | None:
    """Choose the matrix as LibRaw does: the file's own, else that of its table for the camera; None without either."""
    own, table = facts.camera_to_srgb[:, :3].astype(np.float64), facts.xyz_to_camera[:3].astype(np.float64)
    if _has_matrix(facts):
        return (own / own.sum(1, keepdims=True)).astype(np.float32)
    srgb_to_camera = table @ SRGB_TO_XYZ
    sums = srgb_to_camera.sum(1, keepdims=True)
    if not np.isfinite(sums).all() or (abs(sums) < 1e-5).any():
        return None
    normal = srgb_to_camera / sums  # so that white stays white, as dcraw's cam_xyz_coeff()
    if np.linalg.cond(normal) > 1e4:
        return None
    return np.linalg.inv(normal).astype(np.float32)


def _has_matrix(facts: Facts) -> bool:
    """Tell whether the file has a matrix of its own, by LibRaw's test of the field."""
    own = facts.camera_to_srgb[:, :3].astype(np.float64)
    return bool(np.isfinite(own).all() and own[0, 0] > 0.125 and (own.sum(1) > 0.1).all())


def _known(number: float) -> float:
    """Return a number of the exposure, 0 where the file does not tell it."""
    return number if math.isfinite(number) and number > 0 else 0.0
