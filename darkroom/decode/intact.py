"""Tell samples from what decoders leave behind where a file ends too early, has a hole, or holds other bytes.

(H, W) uint16 DN -> the row from which on they are no photo, or None.

LibRaw often decodes a damaged file without a word, and what it leaves is not always zeros: a truncated Sony ARW
repeats its last good row to the end, a Panasonic RW2 its last 14336 sites; erased flash memory (0xFF) reads as white,
and another file's bytes as noise over the whole range. Four things no photo does, for sensors have noise and lenses
blur: every site of a wide stretch of rows reading the same; hundreds of sites repeating others nearby to the last DN;
the whole width going from dark to saturated between one row and the next; and, beside a part that is a photo, rows
that use the whole range without one site knowing its neighbour.
"""

import numpy as np
from numpy.typing import NDArray

_PROBES = 256
"""Rows looked at, evenly from the last one up."""
_STRIPS = 16
"""Parts of a row looked at one by one, for compressed tiles and slices are lost one by one."""
_WINDOW = 128
"""sites of a strip looked at."""
_REACH = 8
"""rows above a window that are searched for a copy of it; the longest period seen (Panasonic) is 3.9 rows of 12 MP."""
_LEAST_ROWS = 4
"""probes in a row, about 1/64 of the height: fewer lost rows may be a border that the camera never filled."""
_LEAST_STRIPS = 4
"""Windows of a row that are told from random bytes: the few of a thumbnail might agree by accident."""
_CHANCE = 1e-9
"""Probability, over all the places looked at, below which flat or copied sites are no accident of a dark frame."""
_MOST_USUAL = 0.9999
"""Share of alike neighbours taken for usual at most, lest the rest of an overexposed photo excuse anything."""
_CLIPS = 0.6
"""of the stated white: the lowest level at which sensors were seen to clip is 0.76 (Nikon D1). A decoder's half scale,
where lossless JPEG begins, lies below."""
_ABOVE_CLIP = 1e-3
"""Share of sites that may read more than the level at which the rest clips: hot ones."""
_EDGE = 6
"""rows beside a saturated stretch that tell how it begins; a lens and clouds need more from dark to white."""
_DARK = 0.7
"""of the saturated level: what the rows beside a stretch that was written over read less than, in the median."""
_UNWRITTEN = 65535
"""DN of 0xFF in a 16-bit file: where white needs fewer bits, no sensor gives it to a whole row."""
_WILD = 0.2
"""of the white level: least standard deviation of random bytes, which have 0.29 over a range that white fills."""
_UNKNOWING = 0.3
"""Most correlation of a site with the one `_LAG` further on; random ones have 0 +- 0.09 in a window."""
_EVEN = 2.4
"""Fourth moment over the squared second: random bytes, spread evenly, have 1.8 +- 0.1, sun on water more than 3."""
_LAG = 6
"""sites: both CFAs repeat their colours after as many."""
_MOST, _FEW = 0.7, 0.1
"""Share of the windows of a row that are wild where it is random, and of the other rows' where they are not."""


def lost_from(picture: NDArray[np.uint16], white: float) -> int | None:
    """Find the first row of a lost stretch of about 1/64 of the height or more, in any of 16 strips; None for none.

    white: DN, as the file states it; a photo may clip well below. Costs 3 ms at 12 MP where nothing is suspicious. A
    frame black but for noise is sound however many sites read zero; one with every site at one value is not, unless
    it is saturated.
    """
    height, width = picture.shape
    step = max(1, height // _PROBES)
    rows = np.arange(height - 1, -1, -step)[::-1]
    lefts = np.linspace(0, max(0, width - _WINDOW), max(1, min(_STRIPS, width // _WINDOW))).astype(int)
    windows = np.stack([picture[rows, left : left + _WINDOW] for left in lefts], 1)
    # Two colours alternate along a row, and an undecoded lossless JPEG repeats the pair.
    alike = windows[..., 2:] == windows[..., :-2]
    flat = alike.all(-1)
    usual = alike.mean((1, 2))
    full = flat & (windows.min(-1) >= _clip(windows, flat, white))
    found: list[int | None] = [_filled_from(picture, rows, full, white), _random_from(windows, rows, white)]

    for strip, left in enumerate(lefts):
        right = width if strip == len(lefts) - 1 else lefts[strip + 1]
        for first, last in _runs(flat[:, strip] & ~full[:, strip]):
            if last - first + 1 < min(_LEAST_ROWS, len(rows)):
                continue
            row, end = _flat_within(picture[:, left:right], rows[first], rows[last])
            elsewhere = np.delete(usual, slice(first, last + 1))
            chance = min(elsewhere.mean(), _MOST_USUAL) if elsewhere.size else 0.5
            if chance ** ((end - row) * (right - left)) * flat.size < _CHANCE:
                found.append(row)
        if _copied(picture, height - 1, left):
            found.append(_copied_from(picture, rows, left))
    return min((row for row in found if row is not None), default=None)


def _clip(windows: NDArray[np.uint16], flat: NDArray[np.bool_], white: float) -> float:
    """Return the DN from which on flat is what overexposed sky is, by the flat level that hardly a site exceeds."""
    level = _CLIPS * white
    for top in np.unique(windows[flat].max(-1, initial=0)):
        if top >= level and np.mean(windows > top) < _ABOVE_CLIP:
            return max(level, _CLIPS * float(top))
    return np.inf


def _filled_from(
    picture: NDArray[np.uint16], rows: NDArray[np.intp], full: NDArray[np.bool_], white: float
) -> int | None:
    """Return the first row of a saturated stretch of the whole width that begins or ends from one row to the next."""
    for first, last in _runs(np.asarray(full.all(1))):
        if last - first + 1 < min(_LEAST_ROWS, len(rows)):
            continue
        row, end = _flat_within(picture, rows[first], rows[last])
        if row == end:
            continue
        level = float(picture[row].min())
        # The row at either end may be half written over.
        beside = [picture[max(0, row - 1 - _EDGE) : max(0, row - 1)], picture[end + 1 : end + 1 + _EDGE]]
        sharp = any(len(rest) and np.median(rest) < _DARK * level and np.mean(rest >= level) < _FEW for rest in beside)
        beyond = level == _UNWRITTEN and white < _UNWRITTEN // 2
        if sharp or beyond:
            return row
    return None


def _random_from(windows: NDArray[np.uint16], rows: NDArray[np.intp], white: float) -> int | None:
    """Return the first row of a stretch of random samples, if there are rows of another kind as well."""
    wide = windows.max(-1) - windows.min(-1) > 2 * _WILD * white  # no window has a greater deviation than half that
    if wide.shape[1] < _LEAST_STRIPS or wide.any(1).sum() < _LEAST_ROWS:
        return None
    samples = windows - windows.mean(-1, keepdims=True, dtype=np.float32)
    variance = np.mean(samples**2, -1)
    shared = np.mean(samples[..., _LAG:] * samples[..., :-_LAG], -1)
    even = np.mean(samples**4, -1) < _EVEN * variance**2
    wild = (variance > (_WILD * white) ** 2) & (abs(shared) < _UNKNOWING * variance) & even
    random = wild.mean(1) > _MOST
    runs = [(first, last) for first, last in _runs(random) if last - first + 1 >= _LEAST_ROWS]
    rest = np.delete(wild, [row for first, last in runs for row in range(first, last + 1)], 0)
    return int(rows[runs[0][0]]) if runs and rest.size and rest.mean() < _FEW else None


def _runs(marks: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and last index of each run of True.

    >>> _runs(np.array([True, False, True, True]))
    [(0, 0), (2, 3)]
    """
    edges = np.flatnonzero(np.diff(np.concatenate(([0], marks.view(np.int8), [0]))))
    return [(int(first), int(end) - 1) for first, end in edges.reshape(-1, 2)]


def _flat_within(strip: NDArray[np.uint16], first: int, last: int) -> tuple[int, int]:
    """Return the longest stretch of flat rows among those from `first` to `last`, grown as far as it goes.

    Returns its first row and the one after its last, which are the same where there is none. Decoders that lose their
    way leave a few rows of noise before they give up.
    """

    def flat(top: int, bottom: int) -> NDArray[np.bool_]:
        return (strip[top:bottom, 2:] == strip[top:bottom, :-2]).all(1)

    row, end = max(_runs(flat(first, last + 1)), key=lambda run: run[1] - run[0], default=(0, -1))
    row, end = first + row, first + end + 1
    if row == end:
        return row, end
    while row and flat(row - 1, row):
        row -= 1
    while end < len(strip) and flat(end, end + 1):
        end += 1
    return row, end


def _copied(picture: NDArray[np.uint16], row: int, left: int) -> bool:
    """Tell whether the window at (row, left) appears again in the rows above, and is too rich for that to be chance."""
    window = picture[row, left : left + _WINDOW]
    above = picture[max(0, row - _REACH) : row]
    if not above.size:
        return False
    shares = np.unique(window, return_counts=True)[1] / window.size
    if above.size * float(np.sum(shares**2)) ** window.size > _CHANCE:
        return False
    return window.tobytes() in above.tobytes()


def _copied_from(picture: NDArray[np.uint16], rows: NDArray[np.intp], left: int) -> int | None:
    """Return the first row of the copies that reach down to the last row, if they go on long enough."""
    probe = len(rows) - 1
    while probe and _copied(picture, rows[probe - 1], left):
        probe -= 1
    if len(rows) - probe < min(_LEAST_ROWS, len(rows)):
        return None
    row = int(rows[probe])
    while _copied(picture, row - 1, left):
        row -= 1
    return row
