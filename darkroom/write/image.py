"""Picture -> PNG, TIFF or JPEG file with its EXIF and colour profile; whole, or not there at all.

(H, W, 3) uint8, uint16 or float32, sRGB-encoded (0..1 as 0..255, 0..65535 or 0..1) -> a .png, .tif or .jpg file.

PNG and plain TIFF are encoded as the picture's rows come, and hold no more of it than that; JPEG, AVIF, JPEG XL, and
TIFF compressed or in tiles, wait for all of it, for their libraries take pictures only whole.

By whom, as measured on two cores of an AMD EPYC (Zen 5), best of three, with other work beside:

- TIFF by tifffile, which takes as long as writing it by hand did and copies nothing: 8, 16 and 32 bits of 12 MP take
  0.10, 0.18 and 0.47 s (0.09, 0.21 and 0.50 by hand), of 24 MP 0.18, 0.53 and 0.89 s (0.21, 0.43 and 0.90), at most
  1 MB beside the picture. It cannot nest the EXIF and GPS directories: these are added behind, in a second pass. At
  16 bits zstd makes 12 MP a sixth smaller in 0.35 s, deflate the same in 2.1 s, hence neither unless asked for.
- PNG by hand, deflated by ISA-L a band to a core: 12 MP of 8 bits take 0.34 s, and 12.4 MB. libpng (imagecodecs) at
  its fastest takes 3.3 s, libspng 4.3 s and Pillow 4.2 s for 13.2 MB each, on one core and with the file in memory; and
  Pillow and imageio halve 16 bits without a word.
- JPEG by libjpeg-turbo (imagecodecs), which takes the picture as it lies; Pillow copies it, at four bytes a pixel.
- The ICC profile by hand: LittleCMS's (Pillow, imagecodecs) carries the date of its making, so that no two files of one
  picture would be equal, and its import takes 0.2 s.
"""

import io
import os
import struct
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from isal import isal_zlib

from darkroom import tiff
from darkroom.colour import Space
from darkroom.errors import OutputError, SettingsError
from darkroom.frame import Bands, Picture
from darkroom.write import avif, icc
from darkroom.write import part as parts

DEPTHS = {
    ".png": (8, 16),
    ".tif": (8, 16, 32),
    ".tiff": (8, 16, 32),
    ".jpg": (8,),
    ".jpeg": (8,),
    ".avif": (8, 10, 12),
    ".jxl": (8, 16),
    ".dng": (16,),
}
"""Suffix, in lower case -> the bits a sample may have; 32 is float. What a .dng holds, `dng` writes."""

JPEG_QUALITY = 95
NAMES = ".png, .tif, .jpg, .avif, .jxl or .dng"
AVIF_QUALITY = 85
JXL_DISTANCE = 1.0
"""Butteraugli's: at 1 the eye sees no difference."""

Compression = Literal["none", "deflate", "zstd"]
_COMPRESSIONS: dict[Compression, str | None] = {"none": None, "deflate": "zlib", "zstd": "zstd"}
"""Of a TIFF: what we call it -> what tifffile does."""
_LEVEL = 1
"""Of deflate and zstd: photos hardly shrink further at higher ones, for several times the time."""
_TILE = (256, 256)
"""Rows and columns of a tile; TIFF wants multiples of 16."""

WORKERS = min(8, os.cpu_count() or 1)
"""Bands deflated at once; zlib and numpy release the interpreter."""
_BAND = 1 << 19
"""Bytes of picture in a band: it stays in a core's cache, and 12 MP give every core enough of them."""


@dataclass(frozen=True)
class Encoding:
    """How a TIFF is laid out, and how deep an AVIF is; the others have one way each."""

    compression: Compression = "none"
    """With a predictor; zstd is smaller and faster than deflate, but some programs cannot read it."""
    tiled: bool = False
    """Tiles of 256 x 256 in place of strips, for programs that show a part of a large picture."""
    depth: Literal[10, 12] = 12
    """Bits of a sample of an AVIF made of a uint16 picture."""


def check(path: Path, bits: int) -> None:
    """Refuse a file name whose format cannot hold the picture, before any work is done.

    bits: of a sample; 32 is float. Raises SettingsError.
    """
    depths = DEPTHS.get(path.suffix.lower())
    if depths is None:
        raise SettingsError(f'{path.name}: cannot write "{path.suffix}"; name it {NAMES}')
    if bits not in depths:
        held = " or ".join(map(str, depths))
        raise SettingsError(
            f"{path.name}: {path.suffix} holds {held} bits, not {bits}; ask for {held} bits, or name it otherwise"
        )


def make_folder(folder: Path) -> None:
    """Make a folder for pictures, and those it lies in; raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"{folder}: cannot be made ({reason}); choose another folder with -o") from error


def waits(path: Path, encoding: Encoding = Encoding()) -> bool:
    """Whether a file of this name is encoded only once the whole picture is there."""
    plain = encoding.compression == "none" and not encoding.tiled
    followed = (".png", ".tif", ".tiff") if plain else (".png",)
    return path.suffix.lower() not in followed


def write(
    picture: Picture | Bands,
    path: Path,
    *,
    exif: bytes,
    overwrite: bool,
    encoding: Encoding = Encoding(),
    space: Space = "srgb",
) -> None:
    """Write the picture beside its place, flush it to the disk, then move it there in one step.

    picture: all of it, or in the making; then what goes wrong there is raised here, too. exif: a block as `exif.block`
    makes it, or nothing. space: what its profile says the picture is in. A file already there, even one that appeared
    meanwhile, is replaced only if `overwrite`. After any error nothing is left behind. Raises SettingsError for a
    format that cannot hold the picture, OutputError for a place that cannot take it.
    """
    bands = picture if isinstance(picture, Bands) else Bands(picture.shape, picture.dtype, iter([picture]))
    deep = path.suffix.lower() == ".avif" and bands.dtype == np.uint16
    check(path, encoding.depth if deep else 8 * bands.dtype.itemsize)
    if deep:
        codes = avif.encode(
            bands.whole().astype(np.uint16, copy=False),
            bits=encoding.depth,
            quality=AVIF_QUALITY,
            space=space,
            exif=exif,
        )
        parts.whole(path, lambda file: _all(file, codes), overwrite=overwrite)
        return
    as_tiff = partial(_tiff, encoding=encoding)
    encoders: dict[str, Callable[[BinaryIO, Bands, bytes, bytes], None]] = {".png": _png, ".avif": _avif}
    encoders |= {".tif": as_tiff, ".tiff": as_tiff, ".jpg": _jpeg, ".jpeg": _jpeg, ".jxl": _jxl}
    encode, profile = encoders[path.suffix.lower()], icc.profile(space, linear=bands.dtype == np.float32)
    parts.whole(path, lambda file: encode(file, bands, exif, profile), overwrite=overwrite)


def _all(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def _strip(picture: Bands) -> int:
    """How many rows of a picture are encoded in one go."""
    _, width, channels = picture.shape
    return max(1, _BAND // (channels * width * picture.dtype.itemsize))


def _strips(picture: Bands) -> Iterator[Picture]:
    """The picture cut into strips of equal rows, however they come: so a file does not depend on that."""
    held: list[Picture] = []
    missing = _strip(picture)
    for band in picture.rows:
        while len(band) >= missing:
            held.append(band[:missing])
            band = band[missing:]
            yield _joined(held)
            held, missing = [], _strip(picture)
        if len(band):
            held.append(band.copy())
            missing -= len(band)
        del band  # or all of it would be held until the next comes
    if held:
        yield _joined(held)


def _joined(parts: list[Picture]) -> Picture:
    if len(parts) == 1:
        return parts[0]
    joined: Picture = np.empty((sum(map(len, parts)), *parts[0].shape[1:]), parts[0].dtype)
    return np.concatenate(parts, out=joined)


# --- PNG (W3C, third edition) ---

_UP = 2
"""PNG filter: each byte minus the one above. On photos no larger than libpng's own choice, and one numpy step."""


def _png(file: BinaryIO, picture: Bands, exif: bytes, profile: bytes) -> None:
    height, width, _ = picture.shape
    file.write(b"\x89PNG\r\n\x1a\n")
    file.write(_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * picture.dtype.itemsize, 2, 0, 0, 0)))
    file.write(_chunk(b"iCCP", b"RGB\0\0" + zlib.compress(profile)))
    if exif:
        file.write(_chunk(b"eXIf", exif))
    file.write(_chunk(b"IDAT", b"\x78\x01"))  # zlib's header (RFC 1950): deflate, 32 KiB window, fast
    checksum = 1
    for chunk, part, length in _all_deflated(picture):
        file.write(chunk)
        checksum = _adler_joined(checksum, part, length)
    file.write(_chunk(b"IDAT", b"\x03\x00" + struct.pack(">I", checksum)))  # an empty last block, then zlib's checksum
    file.write(_chunk(b"IEND", b""))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))))


_Deflated = tuple[bytes, int, int]
"""A strip's chunk, then checksum and length of what that inflates to."""


def _all_deflated(picture: Bands) -> Iterator[_Deflated]:
    """Deflate strip after strip, a few at once, each when it comes."""
    working: deque[Future[_Deflated]] = deque()
    above: Picture = np.zeros((1, *picture.shape[1:]), picture.dtype)  # as the filter has it of the first row
    with ThreadPoolExecutor(WORKERS) as pool:
        for strip in _strips(picture):
            working.append(pool.submit(_deflated, above, strip))
            above = strip[-1:].copy()
            del strip  # or its band would be held until the next comes
            while len(working) > WORKERS:
                yield working.popleft().result()
        while working:
            yield working.popleft().result()


def _deflated(above: Picture, strip: Picture) -> _Deflated:
    """Filter and deflate a strip, with the row above it."""
    big = strip.dtype.newbyteorder(">")
    top, rows = (np.ascontiguousarray(part, big).reshape(len(part), -1).view(np.uint8) for part in (above, strip))
    filtered = np.empty((len(rows), 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _UP
    np.subtract(rows[:1], top, out=filtered[:1, 1:])
    np.subtract(rows[1:], rows[:-1], out=filtered[1:, 1:])
    stream = isal_zlib.compressobj(1, zlib.DEFLATED, -15)
    data = stream.compress(filtered) + stream.flush(zlib.Z_SYNC_FLUSH)
    return _chunk(b"IDAT", data), zlib.adler32(filtered.data), filtered.size


def _adler_joined(first: int, second: int, length: int) -> int:
    """Join the Adler-32 checksums of two pieces of data, the second of `length` bytes (as zlib's adler32_combine).

    >>> _adler_joined(zlib.adler32(b"dark"), zlib.adler32(b"room"), 4) == zlib.adler32(b"darkroom")
    True
    """
    prime = 65521
    low, high = first & 0xFFFF, first >> 16
    low_end = (low + (second & 0xFFFF) - 1) % prime
    high_end = (high + (second >> 16) + length * (low - 1)) % prime
    return high_end << 16 | low_end


# --- TIFF, by tifffile ---


def _tiff(file: BinaryIO, picture: Bands, exif: bytes, profile: bytes, encoding: Encoding) -> None:
    from tifffile import imwrite  # here, for its import takes 0.06 s

    plain = encoding.compression == "none"
    imwrite(
        file,
        # As bytes: of an array tifffile says only how much of it was written, not that the disk is full.
        _samples(picture) if plain and not encoding.tiled else picture.whole(),
        shape=picture.shape,
        dtype=picture.dtype.newbyteorder("<"),
        byteorder="<",
        photometric="rgb",
        planarconfig="contig",
        tile=_TILE if encoding.tiled else None,
        rowsperstrip=None if encoding.tiled else _strip(picture),
        compression=_COMPRESSIONS[encoding.compression],
        compressionargs=None if plain else {"level": _LEVEL},
        predictor=not plain,
        iccprofile=profile,
        metadata=None,
        software=False,
        maxworkers=WORKERS,
    )
    _tell(file, exif or tiff.block({}))


def _samples(picture: Bands) -> Iterator[bytes]:
    """The strips of a picture, each in one piece and little-endian."""
    for strip in _strips(picture):
        yield np.ascontiguousarray(strip, picture.dtype.newbyteorder("<")).tobytes()


_NESTED = (34665, 34853)
"""The tags of the EXIF and the GPS directory."""
_OF_JPEG = (37121, 40962, 40963)
"""ComponentsConfiguration and PixelX/YDimension, which Exif 2.32 (4.6.5) keeps to compressed files; a TIFF's own tags
say as much."""


def _tell(file: BinaryIO, exif: bytes) -> None:
    """Lay the first directory of a TIFF out anew, at its end, with what an EXIF block holds; tifffile refuses to."""
    block = io.BytesIO(exif)
    order, at = tiff.header(block, 0)
    told, _ = tiff.read(block, 0, at, order)
    nested = {tag: tiff.read(block, 0, tiff.first(told, tag), order)[0] for tag in _NESTED if tag in told}
    for directory in nested.values():
        for tag in _OF_JPEG:
            directory.pop(tag, None)
    place = file.seek(0, io.SEEK_END)
    place += file.write(bytes(place % 2))  # a directory begins at an even byte
    laid = tiff.lay_out({**told, **nested}, place)
    file.write(laid)
    _, at = tiff.header(file, 0)
    file.seek(at)
    count = int.from_bytes(file.read(2), "little")
    entries = _entries(file.read(12 * count)) | _entries(laid[2 : 2 + 12 * len(told)])
    end = file.seek(0, io.SEEK_END)
    end += file.write(bytes(end % 2))
    file.write(struct.pack("<H", len(entries)) + b"".join(entry for _, entry in sorted(entries.items())) + bytes(4))
    file.seek(4)
    file.write(struct.pack("<I", end))


def _entries(listing: bytes) -> dict[int, bytes]:
    """The 12 bytes of each entry of a directory, by tag."""
    return {int.from_bytes(listing[at : at + 2], "little"): listing[at : at + 12] for at in range(0, len(listing), 12)}


# --- JPEG ---


def _jpeg(file: BinaryIO, picture: Bands, exif: bytes, profile: bytes) -> None:
    data = memoryview(jpeg(picture.whole()))
    head = 4 + int.from_bytes(data[4:6])  # start of image, and the JFIF segment that must come first
    file.write(data[:head])
    if exif:
        file.write(_segment(0xE1, b"Exif\0\0" + exif))
    file.write(_segment(0xE2, b"ICC_PROFILE\0\1\1" + profile))
    file.write(data[head:])


def jpeg(picture: Picture) -> bytes:
    """Encode (H, W, 3) uint8 as JPEG, without EXIF and profile."""
    # Here, for PNG and TIFF do without it. Pillow would make its own copy of the picture, of four bytes a pixel.
    from imagecodecs import jpeg8_encode

    return bytes(jpeg8_encode(np.ascontiguousarray(picture), JPEG_QUALITY, subsampling="444"))


def _segment(marker: int, data: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, 2 + len(data)) + data


# --- AVIF and JPEG XL ---


def _avif(file: BinaryIO, picture: Bands, exif: bytes, profile: bytes) -> None:
    from PIL import Image

    encoded = Image.fromarray(np.ascontiguousarray(picture.whole()))
    told = {"exif": exif} if exif else {}
    encoded.save(file, "AVIF", quality=AVIF_QUALITY, subsampling="4:4:4", icc_profile=profile, **told)


def _jxl(file: BinaryIO, picture: Bands, exif: bytes, profile: bytes) -> None:
    """Write a JPEG XL of sRGB, which its codestream says itself, in a container for the EXIF (ISO 18181-2)."""
    from imagecodecs import jpegxl_encode

    stream = bytes(jpegxl_encode(np.ascontiguousarray(picture.whole()), distance=JXL_DISTANCE, usecontainer=False))
    file.write(_box(b"JXL ", b"\r\n\x87\n") + _box(b"ftyp", b"jxl \0\0\0\0jxl "))
    if exif:
        file.write(_box(b"Exif", bytes(4) + exif))
    file.write(_box(b"jxlc", stream))


def _box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(data), kind) + data
