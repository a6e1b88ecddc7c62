"""Who may import whom: the rules of the house, read from the source by `ast`."""

import ast
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

import pytest

from darkroom.cli import COMMANDS

HOUSE = Path(__file__).parents[1] / "darkroom"
FLOORS = (
    ("__main__",),
    ("cli",),
    ("evaluate",),
    ("train",),
    ("batch",),
    ("sensor",),
    ("develop",),
    ("write", "decode"),
    ("frame", "tiff", "colour", "documents", "processor"),
    ("errors",),
)
"""Rooms, the top floor first; a room may import those of lower floors."""

FACE = "darkroom"
"""The package itself, for notebooks; of it the rooms know the version and no more."""
BELOW_THE_FACE = "batch"
"""The room above which the face imports nothing."""
PROGRAM = "darkroom.decode.libraw"
"""What runs as a program of its own, which speaks by stdin and stdout: the one beside `cli`."""
JOIN = "darkroom.develop.pipeline"
SHARED = {f"darkroom.develop.{name}" for name in ("contract", "curves", "grain", "meter", "blocks", "tone", "upright")}
"""What joins the stages of `develop`, and what all of them may stand on."""
UNDER_THE_DOOR = {"darkroom.develop.engines", "darkroom.develop.onnxfile", "darkroom.develop.door"}
"""What the opening of networks is built of, and nobody else in `develop` enters by."""
DOORS = {"darkroom.develop.model", "darkroom.develop.door"}

LIBRARIES = {
    "tomllib": ("darkroom.documents",),
    "typer": ("darkroom.cli",),
    "rich": ("darkroom.cli",),
    "rawpy": ("darkroom.decode.libraw", "darkroom.evaluate"),  # the decoder's process; the baseline to beat
    # The tools that quantise; networks of others, which have no contract.
    "onnxruntime": ("darkroom.develop.engines", "darkroom.train.variants", "darkroom.evaluate.foreign"),
    "openvino": ("darkroom.develop.engines",),
    "imagecodecs": ("darkroom.write.image", "darkroom.write.linear", "darkroom.write.avif", "darkroom.train.pictures"),
    "isal": ("darkroom.write.image",),
    "tifffile": ("darkroom.write.image",),
    # Not to write pictures: dark raws are made of photos, training and the evaluation read some, the demo draws one.
    "PIL": (
        "darkroom.write.image",
        "darkroom.develop.size",
        "darkroom.sensor",
        "darkroom.train",
        "darkroom.evaluate",
        "darkroom.cli.scene",
    ),
    "torch": ("darkroom.train", "darkroom.evaluate.lpips", "darkroom.evaluate.perceptual"),
    "piq": ("darkroom.evaluate.perceptual",),
    "pycocotools": ("darkroom.evaluate.detection",),
    "safetensors": ("darkroom.train",),
    "onnx": ("darkroom.train", "darkroom.evaluate.cost"),
    "skimage": ("darkroom.evaluate",),
    "bm3d": ("darkroom.evaluate",),
    "dask": ("darkroom.batch",),
    "distributed": ("darkroom.batch",),
}
"""A library -> the modules and packages that alone may import it."""

Trees = dict[str, ast.Module]


@cache
def house() -> Trees:
    """Every module of ours, by name; a package by the name of its folder."""
    trees = {}
    for path in sorted(HOUSE.rglob("*.py")):
        parts = path.relative_to(HOUSE.parent).with_suffix("").parts
        trees[".".join(parts).removesuffix(".__init__")] = ast.parse(path.read_text(encoding="utf-8"))
    return trees


def imported(module: str, nodes: Iterable[ast.AST]) -> set[str]:
    """Every module that some statements import; of `from package import name` both, as the name may be a module."""
    names = set()
    for node in nodes:
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, f"{module}: imports are absolute"
            names |= {str(node.module)} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def anywhere(trees: Trees, module: str) -> set[str]:
    return imported(module, ast.walk(trees[module]))


def arrows(trees: Trees) -> dict[str, set[str]]:
    """Module -> the modules of ours that it imports, wherever in the file."""
    return {module: ours(trees, anywhere(trees, module)) for module in trees}


def ours(trees: Trees, names: set[str]) -> set[str]:
    """Those of some names that are modules of ours with code in them: a room is only passed through."""
    return {name for name in names if name in trees and name != FACE and len(trees[name].body) > 1}


def room(module: str) -> str:
    """`darkroom.train.networks.red` is in train; the package itself is its own."""
    return module.split(".")[1] if "." in module else FACE


def floor(name: str) -> int:
    """How deep a room lies."""
    return next(level for level, rooms in enumerate(FLOORS) if name in rooms)


def within(module: str, places: Iterable[str]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


def circles(arrows: dict[str, set[str]]) -> set[str]:
    """What is left when everything without arrows out, or without arrows in, is taken away again and again."""
    left = {start: set(ends) - {start} for start, ends in arrows.items()}
    while gone := {name for name in left if not left[name] or not any(name in ends for ends in left.values())}:
        left = {start: ends - gone for start, ends in left.items() if start not in gone}
    return set(left)


# --- the rules: each yields what breaks it ---


def breaks_floors(trees: Trees) -> Iterator[str]:
    for module, ends in arrows(trees).items():
        for end in ends:
            here, there = room(module), room(end)
            if here != there and floor(there) <= floor(BELOW_THE_FACE if here == FACE else here):
                yield f"{module} -> {end}"


def breaks_circles(trees: Trees) -> Iterator[str]:
    yield from circles(arrows(trees))
    rooms: dict[str, set[str]] = {room(module): set() for module in trees}
    for module, ends in arrows(trees).items():
        rooms[room(module)] |= {room(end) for end in ends}
    yield from circles(rooms)


def breaks_stages(trees: Trees) -> Iterator[str]:
    for module, ends in arrows(trees).items():
        if room(module) == "develop" and module != JOIN:
            open_to = SHARED | UNDER_THE_DOOR if module in DOORS else SHARED
            yield from (f"{module} -> {end}" for end in ends if room(end) == "develop" and end not in open_to)


def breaks_face(trees: Trees) -> Iterator[str]:
    """Who takes more than the version from the package itself."""
    for module, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and node.module == FACE:
                for alias in node.names:
                    if f"{FACE}.{alias.name}" not in trees and alias.name != "__version__":
                        yield f"{module} -> {alias.name}"


def breaks_libraries(trees: Trees) -> Iterator[str]:
    for module in trees:
        for library, places in LIBRARIES.items():
            if any(within(name, (library,)) for name in anywhere(trees, module)) and not within(module, places):
                yield f"{module} -> {library}"


def breaks_silence(trees: Trees) -> Iterator[str]:
    for module, tree in trees.items():
        if room(module) == "cli" or module == PROGRAM:
            continue
        for node in ast.walk(tree):
            said = ast.unparse(node.func) if isinstance(node, ast.Call) else None
            seen = ast.unparse(node) if isinstance(node, ast.Attribute) else None
            if said in ("print", "exit", "quit", "sys.exit", "os._exit", "input"):
                yield f"{module}: {said}"
            if seen in ("os.environ", "os.getenv", "sys.argv", "sys.stdin", "sys.stdout", "sys.stderr"):
                yield f"{module}: {seen}"


def breaks_documents(trees: Trees) -> Iterator[str]:
    """Who reads JSON past the door; the program beside `cli` hears its own parent alone."""
    for module, tree in trees.items():
        if module not in ("darkroom.documents", PROGRAM):
            calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
            yield from (f"{module}: {call}" for call in calls & {"json.loads", "json.load"})


def breaks_lightness(trees: Trees) -> Iterator[str]:
    """What is imported before a command runs, by the commands and whatever they import so early."""
    ahead, seen = ["darkroom.__main__", *(f"darkroom.cli.{command}" for command in COMMANDS)], set()
    while ahead:
        module = ahead.pop()
        if module in seen:
            continue
        seen.add(module)
        names = imported(module, trees[module].body)
        ahead += [name for name in names if name in trees]
        for name in names:
            library = name.split(".")[0]
            if library not in sys.stdlib_module_names and library not in ("typer", "darkroom"):
                yield f"{module} -> {name}"


RULES = (
    breaks_floors,
    breaks_circles,
    breaks_stages,
    breaks_face,
    breaks_libraries,
    breaks_silence,
    breaks_documents,
    breaks_lightness,
)


@pytest.mark.parametrize("breaks", RULES, ids=lambda rule: rule.__name__.removeprefix("breaks_"))
def test_nothing_in_the_house_breaks_a_rule(breaks):
    assert sorted(breaks(house())) == []


def test_every_module_has_a_room_on_a_floor():
    assert {room(module) for module in house()} - {FACE} == {name for rooms in FLOORS for name in rooms}


def test_a_room_is_entered_by_its_modules():
    for module, tree in house().items():
        if module.count(".") == 1 and (HOUSE / room(module)).is_dir() and room(module) != "cli":
            assert len(tree.body) <= 1 and not anywhere({module: tree}, module), f"{module} is a docstring or empty"


@pytest.mark.parametrize(
    ("breaks", "module", "code"),
    [
        (breaks_floors, "darkroom.develop.cfa", "from darkroom.batch import jobs"),
        (breaks_floors, "darkroom.frame", "from darkroom import tiff"),
        (breaks_floors, "darkroom.errors", "def f():\n    from darkroom.frame import CFA"),
        (breaks_floors, "darkroom.write.image", "import darkroom.decode.raw"),
        (breaks_floors, "darkroom.train.loop", "from darkroom.evaluate.metrics import psnr"),
        (breaks_floors, "darkroom.evaluate.score", "from darkroom.cli import options"),
        (breaks_floors, "darkroom", "def f():\n    from darkroom.train import loop"),
        (breaks_circles, "darkroom.develop.contract", "from darkroom.develop import pipeline"),
        (breaks_circles, "darkroom.decode.tags", "from darkroom.decode.raw import read"),
        (breaks_circles, "darkroom.frame", "from darkroom.sensor import noise"),
        (breaks_stages, "darkroom.develop.tiles", "from darkroom.develop.model import Model"),
        (breaks_stages, "darkroom.develop.tiles", "from darkroom.develop import engines"),
        (breaks_face, "darkroom.batch.batch", "from darkroom import develop as d, open"),
        (breaks_libraries, "darkroom.decode.raw", "def f():\n    import rawpy.enhance"),
        (breaks_libraries, "darkroom.develop.finish", "from PIL import Image"),
        (breaks_libraries, "darkroom.train.recipe", "import tomllib"),
        (breaks_documents, "darkroom.batch.sheet", "import json\njson.loads('{}')"),
        (breaks_silence, "darkroom.develop.pipeline", "print('done')"),
        (breaks_silence, "darkroom.batch.jobs", "import os\nhome = os.environ['HOME']"),
        (breaks_lightness, "darkroom.cli.develop", "import numpy as np"),
        (breaks_lightness, "darkroom.cli.options", "from darkroom.develop import pipeline"),
    ],
)
def test_a_breach_would_be_noticed(breaks, module, code):
    trees = house()
    broken = trees | {module: ast.Module([*trees[module].body, *ast.parse(code).body], [])}
    assert list(breaks(broken))
