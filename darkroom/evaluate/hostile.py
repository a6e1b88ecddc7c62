"""Files and names made to harm who reads them: networks, checkpoints, journals, settings, recipes, lists, photos.

rounds -> one Ordeal for each kind of file

Each file is a sound one with something changed in it, each name put together of what shells, terminals, templates and
pages obey. It is taken, or refused in a line of its own; a page shows names, and obeys none.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from html.parser import HTMLParser
from importlib.resources import files
from pathlib import Path
from random import Random
from urllib.parse import unquote_to_bytes

from darkroom.develop import model
from darkroom.evaluate import ordeal
from darkroom.evaluate.ordeal import Ordeal

SETTINGS = """\
amp = 100
wb = "daylight"
tone = 0.5
bits = 16
[preset.moon]
exposure = -0.5
model = "fast-bayer"
"""
LIST = "short,reference,ratio,scene\n0.dng,0.dng,1,a\n1.dng,1.dng,1,b\n"
TOKENS = (
    "nan", "inf", "-inf", "1e400", "-1", "0", "9" * 40, "9" * 5000, "1.5", "true", "[]", "{}", '""', "[" * 3000,
    '"../../../etc/passwd"', '"\\u0000"', "\x00", "\x1b[2J", "\ufeff", "'''", '"""', "=", ",", "\n[a]\n", "\n[[a]]\n",
)  # fmt: skip
"""What takes the place of a word or a number in a text."""
NAMES = (
    "<script>alert(1)<", "<img src=x onerror=alert(1)>", '"><svg onload=alert(1)>', "' onclick='x", "&lt;b&gt;", "-->",
    "javascript:alert(1)", "\n", "\r", "\x1b[2J", "\x1b]0;x\x07", "\x7f", "\u202e", "\U0001f600", "\udcff", "\\",
    "{stem}", "{0.__class__}", "%s%n", "$(id)", "`id`", ";id", "|id", "*", "?", "#a", "[a]", "-rf", "--amp", "~", " ",
    ".", "..", "con", "a" * 100, "ö", "o\u0308", ".part", ".darkroom-0",
)  # fmt: skip
"""What photos' names are put together of."""
LONGEST = 240
"""bytes of a name before its ending."""
FLIPS = 8
_WORD = re.compile(r"[^\s,=\[\]{}\"]+")
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")


@dataclass(frozen=True)
class _Kind:
    """A kind of file: what a sound one holds, where it lies, and who reads it."""

    what: str
    whole: bytes
    place: str
    """Below the folder of a round."""
    command: Callable[[Path], list[str]]
    """Makes the command from the folder of a round."""


def campaign(rounds: int, *, trains: bool, on_wrong: ordeal.OnWrong, seed: int = 0) -> Iterator[Ordeal]:
    """Have so many files of each kind read; on_wrong hears each thing that was wrong.

    trains: whether what only training reads is read, too. Raises DarkroomError where a sound file is not taken.
    """
    rng = Random(seed)
    with tempfile.TemporaryDirectory(prefix="darkroom-hostile-") as place:
        folder = Path(place)
        card = ordeal.draw(folder)
        for kind in _kinds(folder, card, trains=trains):
            yield _read(kind, folder, rounds, rng, on_wrong)
        yield _named(card, folder, rounds, rng, on_wrong)


def damaged(whole: bytes, rng: Random) -> bytes:
    """Cut a file short, flip bits of it, most of them near its ends, where the directories are, or splice it."""
    match rng.randrange(3):
        case 0:
            return whole[: rng.randrange(len(whole))]
        case 1:
            changed = bytearray(whole)
            for _ in range(rng.randint(1, FLIPS)):
                far = int(len(whole) ** rng.random()) - 1
                changed[far if rng.random() < 0.5 else len(whole) - 1 - far] ^= 1 << rng.randrange(8)
            return bytes(changed)
        case _:
            start, end, to = (rng.randrange(len(whole)) for _ in range(3))
            piece = whole[min(start, end) : max(start, end)]
            return whole[:to] + piece + whole[to + len(piece) :]


def altered(text: str, rng: Random) -> str:
    """Put one of TOKENS in the place of a word, once or twice."""
    for _ in range(rng.randint(1, 2)):
        word = rng.choice(list(_WORD.finditer(text)) or [None])
        if word:
            text = text[: word.start()] + rng.choice(TOKENS) + text[word.end() :]
    return text


def named(rng: Random) -> str:
    """Put a name together of NAMES, as long as a file's may be."""
    name = "".join(rng.choices(NAMES, k=rng.randint(1, 4)))
    return os.fsdecode(os.fsencode(name)[:LONGEST])


def _kinds(folder: Path, card: Path, *, trains: bool) -> Iterator[_Kind]:
    photo = card / "0.dng"
    network = model.find(model.default("bayer")).read_bytes()
    yield _Kind(
        "network", network, "n.onnx", lambda at: ordeal.developing(photo, at / "0.png", "--model", str(at / "n.onnx"))
    )
    yield _Kind(
        "darkroom.toml",
        SETTINGS.encode(),
        "darkroom.toml",
        lambda at: ordeal.developing(_beside(photo, at), at / "out"),
    )
    ordeal.sound(ordeal.developing(photo, folder / "kept" / "0.png", "--journal"))
    journal = (folder / "kept" / "darkroom.sqlite").read_bytes()
    yield _Kind("journal", journal, "darkroom.sqlite", lambda at: ordeal.developing(photo, at / "0.png", "--journal"))
    if not trains:
        return
    yield _Kind(
        "list of pairs", LIST.encode(), "list.csv",
        lambda at: [*ordeal.PROGRAM, "evaluate", "fast-bayer", "--pairs", str(_list(card, at))],
    )  # fmt: skip
    run = folder / "run"
    ordeal.sound(ordeal.training(folder, run))
    checkpoint = (run / "checkpoint.safetensors").read_bytes()
    yield _Kind("checkpoint", checkpoint, "checkpoint.safetensors", lambda at: ordeal.training(folder, at))
    yield _Kind(
        "recipe", ordeal.RECIPE.encode(), "own.toml",
        lambda at: ordeal.training(folder, at / "run", "--recipe", str(at / "own.toml"), "--steps", "1"),
    )  # fmt: skip
    known = (files("darkroom.sensor") / "cameras.toml").read_text(encoding="utf-8")
    entry = known[known.index("[canon70d]") :].partition("\n\n")[0].replace("[canon70d]", "[mine]")
    words = ("--camera", "mine", "--steps", "1", "--camera-file")
    yield _Kind(
        "camera", entry.encode(), "mine.toml",
        lambda at: ordeal.training(folder, at / "run", *words, str(at / "mine.toml")),
    )  # fmt: skip


def _beside(photo: Path, at: Path) -> Path:
    """Put a photo where a file beside it is read."""
    return Path(shutil.copy(photo, at))


def _list(card: Path, at: Path) -> Path:
    """Put the photos of a list beside it."""
    for photo in card.iterdir():
        shutil.copy(photo, at)
    return at / "list.csv"


def _read(kind: _Kind, folder: Path, rounds: int, rng: Random, on_wrong: ordeal.OnWrong) -> Ordeal:
    """Have files of a kind read, the sound one first."""
    verdicts = list[str | None]()
    text = kind.place.endswith((".toml", ".csv"))
    for number in range(-1, rounds):
        data = kind.whole
        if number >= 0:
            data = altered(data.decode(), rng).encode() if text and rng.random() < 0.8 else damaged(data, rng)
        at = folder / "round"
        at.mkdir()
        (at / kind.place).write_bytes(data)
        ended = ordeal.run(kind.command(at))
        wrong = ended.complaint() or _shown(ended) or ordeal.leftover(at)
        for name, picture in ordeal.pictures(at).items():
            wrong = wrong or (f"{name} cannot be read" if picture.ndim != 3 else "")
            wrong = wrong or (f"{name} is there although it was refused" if ended.code else "")
        if number < 0 and ended.code:
            wrong = f"the sound one is refused: {ended.said.strip()}"
        if wrong:
            on_wrong(f"{kind.what}, file {number}: {wrong}")
            kept = Path(tempfile.mkdtemp(prefix="darkroom-wrong-")) / kind.place
            kept.write_bytes(data)
            on_wrong(f"{kind.what}, file {number}: kept as {kept}")
        if number >= 0:
            verdicts.append(wrong or ("" if ended.code else None))
        shutil.rmtree(at)
    return ordeal.count(kind.what, verdicts)


def _shown(ended: ordeal.Ended) -> str:
    """Say which control character a terminal would have obeyed."""
    found = _CONTROL.search(ended.said)
    return f"{found.group()!r} reaches the terminal" if found else ""


class _Page(HTMLParser):
    """What a browser would make of a page: tags, handlers, and where it would look for files."""

    def __init__(self) -> None:
        super().__init__()
        self.tags = set[str]()
        self.handlers = list[str]()
        self.files = set[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.handlers += [name for name, _ in attrs if name.startswith("on")]
        places = [value for name, value in attrs if name in ("src", "href") and value]
        self.files.update(value for value in places if not value.startswith(("data:", "#")))


def _named(card: Path, folder: Path, rounds: int, rng: Random, on_wrong: ordeal.OnWrong) -> Ordeal:
    """Develop photos of hostile names into a folder with its contact sheet."""
    plain, verdicts = _Page(), list[str | None]()
    ordeal.sound(ordeal.developing(card, folder / "plain", "--sheet"))
    plain.feed((folder / "plain" / "index.html").read_text(encoding="utf-8"))
    for number in range(rounds):
        photos, out = folder / "named", folder / "shown"
        photos.mkdir()
        for photo in sorted(card.iterdir()):
            with suppress(OSError, ValueError):  # a name this file system does not take
                os.link(photo, photos / (named(rng) + ".dng"))
        ended = ordeal.run(ordeal.developing(photos, out, "--sheet"))
        wrong = ended.complaint() or _shown(ended) or ordeal.leftover(out)
        if not wrong and ended.code == 0:
            wrong = _obeyed(out, plain, sum(name[0] != "." for name in os.listdir(photos)))
        if wrong:
            on_wrong(f"names, folder {number}: {wrong}; of {sorted(map(ascii, os.listdir(photos)))}")
        verdicts.append(wrong or ("" if ended.code else None))
        shutil.rmtree(photos)
        shutil.rmtree(out, ignore_errors=True)
    return ordeal.count("names of photos", verdicts)


def _obeyed(out: Path, plain: _Page, photos: int) -> str:
    """Say what a page, or the folder, shows that plain names would not have brought about."""
    page = _Page()
    page.feed((out / "index.html").read_text(encoding="utf-8"))
    if page.tags - plain.tags or page.handlers:
        return f"the page obeys a name: {sorted(page.tags - plain.tags) or page.handlers}"
    dead = [file for file in page.files if not os.path.lexists(os.path.join(os.fsencode(out), unquote_to_bytes(file)))]
    if dead:
        return f"the page leads to {dead[0]}, which is not there"
    made = sum(name.endswith(".png") for name in os.listdir(out))
    return "" if made == photos else f"{made} pictures of {photos} photos"
