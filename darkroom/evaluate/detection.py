"""What a picture is good for: objects that a detector finds in it, against those it finds in the reference.

pictures (H, W, 3) in [0, 1] of every system and their references -> {system: mean average precision at IoU 0.5}

RED's Table 4 (Lamba and Mitra 2021): the truth is what the detector itself finds in the reference pictures with more
than `CONFIDENCE`. Two forms of detector are known, told apart by what they give:

    YOLOX         (1, 3, S, S) BGR 0..255, letterboxed on grey 114 -> (1, cells, 5 + classes), as Megvii exports it
    Faster R-CNN  (3, H, W) or (1, 3, H, W) RGB 0..1 -> boxes (n, 4), labels (n), scores (n), as torchvision exports it

Average precision is COCO's, by pycocotools; faster-coco-eval gives the same to the last digit.
"""

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import nan
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from darkroom.errors import ModelError, SettingsError
from darkroom.evaluate import cost, foreign
from darkroom.evaluate.case import Case, Picture, as_authors
from darkroom.evaluate.foreign import Foreign
from darkroom.evaluate.report import Grid, said
from darkroom.evaluate.systems import Made
from darkroom.write import page

CONFIDENCE = 0.7
"""Of a find in a reference that counts as true."""
LEAST = 0.01
"""Confidence of a find in a developed picture that is looked at."""
OVERLAP = 0.45
"""Intersection over union beyond which the weaker of two YOLOX boxes of one class is the same object."""
STRIDES = (8, 16, 32)
GREY = 114
SHOWN = 3
"""Dark raws whose pictures are shown with their boxes, those with most objects."""
LONGEST = 480
"""Pixels of the longer side of such a picture."""
REFERENCE = "reference"
ABREAST = 3
"""Pictures in a row."""
TRUE, FOUND = (0, 200, 120), (240, 80, 60)


@dataclass(frozen=True, eq=False)
class Found:
    """Objects found in a picture."""

    boxes: NDArray[np.float32]
    """(n, 4) pixels: left, top, right, bottom."""
    labels: NDArray[np.int64]
    scores: NDArray[np.float32]

    def above(self, confidence: float) -> "Found":
        """Those of more than a confidence."""
        sure = self.scores > confidence
        return Found(self.boxes[sure], self.labels[sure], self.scores[sure])


@dataclass(frozen=True, eq=False)
class Detector:
    """A detector of either form."""

    network: Foreign
    side: int
    """Pixels a side of what YOLOX takes; 0 for Faster R-CNN."""
    batched: bool

    def find(self, picture: Picture) -> Found:
        """Find objects of LEAST confidence in a picture, (H, W, 3) in [0, 1]."""
        return self._yolox(picture) if self.side else self._faster(picture)

    def _yolox(self, picture: Picture) -> Found:
        levels, side = as_authors(picture), self.side
        ratio = min(side / levels.shape[0], side / levels.shape[1])
        height, width = (max(1, int(length * ratio)) for length in levels.shape[:2])
        small = np.asarray(Image.fromarray(levels).resize((width, height), Image.Resampling.BILINEAR))
        letter = np.full((side, side, 3), GREY, np.float32)
        letter[:height, :width] = small[..., ::-1]
        (name,) = self.network.inputs
        (given,) = self.network.run({name: np.ascontiguousarray(letter.transpose(2, 0, 1)[None])})
        cells, strides = _cells(side)
        centre, size = (given[0, :, :2] + cells) * strides, np.exp(given[0, :, 2:4]) * strides
        boxes = np.concatenate([centre - size / 2, centre + size / 2], 1) / ratio
        scores = given[0, :, 4:5] * given[0, :, 5:]
        at, labels = np.nonzero(scores > LEAST)
        found = Found(boxes[at].astype(np.float32), labels.astype(np.int64), scores[at, labels].astype(np.float32))
        kept = _separate(found)
        return Found(found.boxes[kept], found.labels[kept], found.scores[kept])

    def _faster(self, picture: Picture) -> Found:
        planes = np.ascontiguousarray(np.clip(picture, 0, 1).transpose(2, 0, 1), np.float32)
        (name,) = self.network.inputs
        given = self.network.run({name: planes[None] if self.batched else planes})
        boxes = next(each for each in given if each.ndim == 2)
        labels = next(each for each in given if each.ndim == 1 and each.dtype.kind == "i")
        scores = next(each for each in given if each.ndim == 1 and each.dtype.kind == "f")
        return Found(boxes, labels.astype(np.int64), scores).above(LEAST)


@dataclass(eq=False)
class Watch:
    """Hears every case and what was developed of it, and keeps what was found."""

    detector: Detector
    confidence: float = CONFIDENCE
    truths: dict[tuple[str, str, float, str], Found] = field(default_factory=dict)
    """By photo, CFA, ratio and camera."""
    finds: dict[str, dict[tuple[str, str, float, str], Found]] = field(default_factory=dict)
    """By system, then as above."""
    drawn: dict[tuple[str, str, float, str], dict[str, NDArray[np.uint8]]] = field(default_factory=dict)

    def keep(self, case: Case, made: Mapping[str, Made]) -> None:
        """Find the objects in each picture of a case."""
        key = (case.photo, case.frame.cfa, case.ratio, case.camera)
        truth = self.detector.find(case.reference).above(self.confidence)
        self.truths[key] = truth
        pictures = {REFERENCE: drawn(case.reference, truth, TRUE)}
        for system, each in made.items():
            found = self.detector.find(each.picture)
            self.finds.setdefault(system, {})[key] = found
            pictures[system] = drawn(each.picture, found.above(self.confidence), FOUND)
        self.drawn[key] = pictures
        for spare in sorted(self.drawn, key=lambda each: -len(self.truths[each].boxes))[SHOWN:]:
            del self.drawn[spare]

    def grid(self, gmac: Mapping[str, float]) -> Grid:
        """Put the mean average precision at each ratio and over all into words; gmac: of each network."""
        ratios = sorted({key[2] for key in self.truths})
        columns = {said(ratio): [key for key in self.truths if key[2] == ratio] for ratio in ratios}
        if len(ratios) > 1:
            columns["all"] = list(self.truths)
        rows = []
        for system, found in self.finds.items():
            precisions = (
                precision([self.truths[key] for key in keys], [found[key] for key in keys if key in found])
                for keys in columns.values()
            )
            network = f"{gmac[system]:.1f}" if system in gmac else ""
            rows.append((system, *(f"{100 * each:.2f}" for each in precisions), network))
        objects = sum(len(truth.boxes) for truth in self.truths.values())
        name = self.detector.network.file.stem
        weight = self.gmac()
        title = (
            f"{name}{f' ({weight:.2f} GMAC)' if weight else ''}: mean average precision, %, at IoU 0.5, of "
            f"{objects} objects found in {len(self.truths)} references with more than {self.confidence:g}"
        )
        return Grid(title, ("", *columns, "GMAC"), tuple(rows))

    def parts(self) -> list[str]:
        """Pieces of a page: the dark raws with most objects, by every system, boxes drawn."""
        pieces = []
        for (photo, _, ratio, camera), pictures in self.drawn.items():
            pieces.append(page.heading(f"objects of {photo}, {said(ratio)}, {camera}"))
            shown = [page.picture(picture, system) for system, picture in pictures.items()]
            pieces += [page.row(shown[i : i + ABREAST]) for i in range(0, len(shown), ABREAST)]
        return pieces

    def gmac(self) -> float | None:
        """Billions of multiply-accumulates of the detector; None where its graph does not tell."""
        if not self.detector.side:
            return None
        try:
            return cost.count(self.detector.network.file, (1, 3, self.detector.side, self.detector.side)) / 1e9
        except (ModelError, SettingsError):
            return None


def load(file: Any) -> Detector:
    """Open a detector; raises SettingsError for another form of network, with what was found."""
    network = foreign.load(file)
    shapes, outputs = list(network.inputs.values()), list(network.outputs.values())
    if len(shapes) == 1 and len(outputs) == 1 and len(shapes[0]) == 4 and len(outputs[0]) == 3:
        side, cells = shapes[0][2], outputs[0][1]
        if isinstance(side, int) and side == shapes[0][3] and side % 32 == 0 and cells in (len(_cells(side)[0]), None):
            return Detector(network, side, batched=True)
    ranks = sorted(len(shape) for shape in outputs)
    if len(shapes) == 1 and len(shapes[0]) in (3, 4) and ranks == [1, 1, 2]:
        return Detector(network, 0, batched=len(shapes[0]) == 4)
    raise SettingsError(
        f"{file}: {network.told()}; a detector is YOLOX, with a fixed square input and one output, or Faster R-CNN "
        "with boxes, labels and scores"
    )


def precision(truths: list[Found], finds: list[Found]) -> float:
    """COCO's mean average precision at IoU 0.5, over the classes that the truths have; nan where they have none.

    truths and finds: of the same pictures. Raises SettingsError without pycocotools.
    """
    try:
        from pycocotools.coco import COCO
        from pycocotools.cocoeval import COCOeval
    except ImportError:
        raise SettingsError("--detector: needs pycocotools; `pip install 'darkroom-raw[evaluate]'`") from None
    classes = sorted({int(label) for truth in truths for label in truth.labels})
    if not classes:
        return nan
    truth, found = COCO(), COCO()
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its progress
        for each, those in ((truth, truths), (found, finds)):
            each.dataset = {
                "images": [{"id": index} for index in range(len(truths))],
                "categories": [{"id": label} for label in classes],
                "annotations": _annotations(those, set(classes)),
            }
            each.createIndex()
        judged = COCOeval(truth, found, "bbox")
        judged.params.iouThrs = np.array([0.5])
        judged.evaluate()
        judged.accumulate()
    by_class = judged.eval["precision"][0, :, :, 0, -1]  # recall, class; of any size, of at most 100 finds a picture
    return float(np.mean(by_class[by_class > -1]))


def drawn(picture: Picture, found: Found, colour: tuple[int, int, int]) -> NDArray[np.uint8]:
    """Draw boxes into a picture made small."""
    small = Image.fromarray(as_authors(picture))
    scale = min(1.0, LONGEST / max(small.size))
    small = small.resize((max(1, round(small.width * scale)), max(1, round(small.height * scale))))
    draw = ImageDraw.Draw(small)
    for left, top, right, bottom in found.boxes * scale:
        draw.rectangle(
            (float(left), float(top), float(max(left, right)), float(max(top, bottom))), outline=colour, width=2
        )
    return np.asarray(small)


def _annotations(those: list[Found], classes: set[int]) -> list[dict[str, Any]]:
    entries: list[dict[str, Any]] = []
    for image, found in enumerate(those):
        for (left, top, right, bottom), label, score in zip(found.boxes, found.labels, found.scores, strict=True):
            if int(label) in classes:
                width, height = float(right - left), float(bottom - top)
                entries.append(
                    {
                        "id": len(entries) + 1,
                        "image_id": image,
                        "category_id": int(label),
                        "bbox": [float(left), float(top), width, height],
                        "area": width * height,
                        "iscrowd": 0,
                        "score": float(score),
                    }
                )
    return entries


def _cells(side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Column and row of every cell, (n, 2), and its stride, (n, 1), grid by grid, row by row."""
    cells, strides = [], []
    for stride in STRIDES:
        rows, columns = np.divmod(np.arange((side // stride) ** 2), side // stride)
        cells.append(np.stack([columns, rows], 1))
        strides.append(np.full((len(rows), 1), stride))
    return np.concatenate(cells).astype(np.float32), np.concatenate(strides).astype(np.float32)


def _separate(found: Found) -> list[int]:
    """Indices of the objects, each by its strongest box: class by class, what overlaps a stronger one is dropped."""
    left: list[int] = [int(index) for index in np.argsort(-found.scores, kind="stable")]
    kept = []
    area = np.prod(np.maximum(found.boxes[:, 2:] - found.boxes[:, :2], 0), axis=1)
    while left:
        best, rest = left[0], np.array(left[1:], int)
        kept.append(best)
        low = np.maximum(found.boxes[rest, :2], found.boxes[best, :2])
        high = np.minimum(found.boxes[rest, 2:], found.boxes[best, 2:])
        shared = np.prod(np.maximum(high - low, 0), axis=1)
        overlap = shared / np.maximum(area[rest] + area[best] - shared, 1e-9)
        same = (found.labels[rest] == found.labels[best]) & (overlap > OVERLAP)
        left = [int(index) for index in rest[~same]]
    return kept
