"""Picture -> PNG, TIFF or JPEG file with its EXIF and colour profile; whole, or not there at all.

(H, W, 3) uint8, uint16 or float32, sRGB-encoded (0..1 as 0..255, 0..65535 or 0..1) -> a .png, .tif or .jpg file.

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

import errno
import io
import os
import struct
import zlib
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO, Literal

import numpy as np
from isal import isal_zlib

from darkroom import tiff
from darkroom.colour import Space
from darkroom.errors import OutputError, SettingsError
from darkroom.frame import Picture
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
            f"{path.name}: {path.suffix} holds {held} bits, not {bits}; ask for {held} bits, or name it .tif"
        )


def make_folder(folder: Path) -> None:
    """Make a folder for pictures, and those it lies in; raises OutputError."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"{folder}: cannot be made ({reason}); choose another folder with -o") from error


def write(
    picture: Picture,
    path: Path,
    *,
    exif: bytes,
    overwrite: bool,
    encoding: Encoding = Encoding(),
    space: Space = "srgb",
) -> None:
    """Write the picture beside its place, flush it to the disk, then move it there in one step.

    exif: a block as `exif.block` makes it, or nothing. space: what its profile says the picture is in. A file already
    there, even one that appeared meanwhile, is replaced only if `overwrite`. After any error nothing is left behind.
    Raises SettingsError for a format that cannot hold the picture, OutputError for a place that cannot take it.
    """
    deep = path.suffix.lower() == ".avif" and picture.dtype == np.uint16
    check(path, encoding.depth if deep else 8 * picture.dtype.itemsize)
    if deep:
        codes = avif.encode(
            picture.astype(np.uint16, copy=False), bits=encoding.depth, quality=AVIF_QUALITY, space=space, exif=exif
        )
        whole(path, lambda file: _all(file, codes), overwrite=overwrite)
        return
    as_tiff = partial(_tiff, encoding=encoding)
    encoders: dict[str, Callable[[BinaryIO, Picture, bytes, bytes], None]] = {".png": _png, ".avif": _avif}
    encoders |= {".tif": as_tiff, ".tiff": as_tiff, ".jpg": _jpeg, ".jpeg": _jpeg, ".jxl": _jxl}
    encode, profile = encoders[path.suffix.lower()], icc.profile(space, linear=picture.dtype == np.float32)
    whole(path, lambda file: encode(file, picture, exif, profile), overwrite=overwrite)


def _all(file: BinaryIO, data: bytes) -> None:
    file.write(data)


def whole(path: Path, encode: Callable[[BinaryIO], None], *, overwrite: bool) -> None:
    """Have a file written beside its place, flush it to the disk, then move it there in one step.

    `encode` writes the file, in which it may seek. Raises OutputError as `write` does, and leaves nothing behind.
    """
    try:
        if not overwrite and os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, "")
        with parts.part(path.parent) as (part, file):
            encode(file)
            file.flush()
            os.fsync(file.fileno())
            file.close()  # Windows moves no open file
            if overwrite:
                os.replace(part, path)
            else:
                _place(part, path)
    except OSError as error:
        raise OutputError(f"{path.name}: {_reason(error, path.parent)}") from error


def _place(part: Path, path: Path) -> None:
    """Give a finished file its name, unless the name is taken."""
    try:
        os.link(part, path)
    except FileExistsError:
        raise
    except OSError:
        # exFAT and some network drives have no hard links: take the name with an empty file, then replace that.
        path.touch(exist_ok=False)
        try:
            os.replace(part, path)
        except OSError:
            path.unlink()
            raise


def _reason(error: OSError, folder: Path) -> str:
    """Say what keeps a file from being written, and what to do about it."""
    match error.errno:
        case errno.EEXIST:
            return "already exists; pass --on-conflict overwrite, or unique"
        case errno.ENOSPC:
            return "no space left on the disk; free some and run again"
        case errno.ENOENT if folder.is_dir():  # /proc and its like say so
            return f"the folder {folder} takes no files; choose another"
        case errno.ENOENT:
            return f"there is no folder {folder}; make it first"
        case errno.ENOTDIR:
            return f"{folder} is not a folder; choose another"
        case errno.EACCES | errno.EPERM | errno.EROFS:
            return f"the folder {folder} may not be written to; choose another"
        case errno.ENAMETOOLONG:
            return "the name is too long for this disk; shorten it"
        case errno.EISDIR:
            return "is a folder; choose another name"
        case _:
            return f"cannot be written ({(error.strerror or str(error)).lower()}); check the disk"


def _bands(picture: Picture) -> range:
    """The first rows of the bands a picture is cut into; the step is the rows of a band."""
    height, width, _ = picture.shape
    return range(0, height, max(1, _BAND // (3 * width * picture.dtype.itemsize)))


# --- PNG (W3C, third edition) ---

_UP = 2
"""PNG filter: each byte minus the one above. On photos no larger than libpng's own choice, and one numpy step."""


def _png(file: BinaryIO, picture: Picture, exif: bytes, profile: bytes) -> None:
    height, width, _ = picture.shape
    file.write(b"\x89PNG\r\n\x1a\n")
    file.write(_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8 * picture.dtype.itemsize, 2, 0, 0, 0)))
    file.write(_chunk(b"iCCP", b"RGB\0\0" + zlib.compress(profile)))
    if exif:
        file.write(_chunk(b"eXIf", exif))
    file.write(_chunk(b"IDAT", b"\x78\x01"))  # zlib's header (RFC 1950): deflate, 32 KiB window, fast
    checksum = 1
    with ThreadPoolExecutor(WORKERS) as pool:
        for chunk, part, length in pool.map(partial(_deflated, picture), _bands(picture)):
            file.write(chunk)
            checksum = _adler_joined(checksum, part, length)
    file.write(_chunk(b"IDAT", b"\x03\x00" + struct.pack(">I", checksum)))  # an empty last block, then zlib's checksum
    file.write(_chunk(b"IEND", b""))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return b"".join((struct.pack(">I", len(data)), kind, data, struct.pack(">I", zlib.crc32(data, zlib.crc32(kind)))))


def _deflated(picture: Picture, top: int) -> tuple[bytes, int, int]:
    """Filter and deflate the band from row `top` on: its chunk, then checksum and length of what that inflates to."""
    rows = picture[max(top - 1, 0) : top + _bands(picture).step]
    rows = np.ascontiguousarray(rows, picture.dtype.newbyteorder(">")).reshape(len(rows), -1).view(np.uint8)
    first = int(top == 0)
    filtered = np.empty((len(rows) - 1 + first, 1 + rows.shape[1]), np.uint8)
    filtered[:, 0] = _UP
    filtered[:first, 1:] = rows[:first]
    np.subtract(rows[1:], rows[:-1], out=filtered[first:, 1:])
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


def _tiff(file: BinaryIO, picture: Picture, exif: bytes, profile: bytes, encoding: Encoding) -> None:
    from tifffile import imwrite  # here, for its import takes 0.06 s

    plain = encoding.compression == "none"
    strips = None if encoding.tiled else _bands(picture).step
    imwrite(
        file,
        # As bytes: of an array tifffile says only how much of it was written, not that the disk is full.
        _rows(picture) if plain and not encoding.tiled else picture,
        shape=picture.shape,
        dtype=picture.dtype.newbyteorder("<"),
        byteorder="<",
        photometric="rgb",
        planarconfig="contig",
        tile=_TILE if encoding.tiled else None,
        rowsperstrip=strips,
        compression=_COMPRESSIONS[encoding.compression],
        compressionargs=None if plain else {"level": _LEVEL},
        predictor=not plain,
        iccprofile=profile,
        metadata=None,
        software=False,
        maxworkers=WORKERS,
    )
    _tell(file, exif or tiff.block({}))


def _rows(picture: Picture) -> Iterator[bytes]:
    """The bands of a picture, each in one piece and little-endian."""
    tops = _bands(picture)
    for top in tops:
        yield np.ascontiguousarray(picture[top : top + tops.step], picture.dtype.newbyteorder("<")).tobytes()


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


def _jpeg(file: BinaryIO, picture: Picture, exif: bytes, profile: bytes) -> None:
    data = memoryview(jpeg(picture))
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


def _avif(file: BinaryIO, picture: Picture, exif: bytes, profile: bytes) -> None:
    from PIL import Image

    encoded = Image.fromarray(np.ascontiguousarray(picture))
    told = {"exif": exif} if exif else {}
    encoded.save(file, "AVIF", quality=AVIF_QUALITY, subsampling="4:4:4", icc_profile=profile, **told)


def _jxl(file: BinaryIO, picture: Picture, exif: bytes, profile: bytes) -> None:
    """Write a JPEG XL of sRGB, which its codestream says itself, in a container for the EXIF (ISO 18181-2)."""
    from imagecodecs import jpegxl_encode

    stream = bytes(jpegxl_encode(np.ascontiguousarray(picture), distance=JXL_DISTANCE, usecontainer=False))
    file.write(_box(b"JXL ", b"\r\n\x87\n") + _box(b"ftyp", b"jxl \0\0\0\0jxl "))
    if exif:
        file.write(_box(b"Exif", bytes(4) + exif))
    file.write(_box(b"jxlc", stream))


def _box(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(data), kind) + data
