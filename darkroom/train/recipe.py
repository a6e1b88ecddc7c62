"""Recipes: all that decides a training run, as a small TOML file.

    recipes/NAME.toml or a user's file  ->  Recipe with its stages  ->  TOML text, saved with the run and in its ONNX

A recipe names the network, what goes in and comes out, and one or more stages: how long, on which data, by which loss.
A stage says only what differs from the defaults below.
"""

import json
from dataclasses import dataclass, field, fields, replace
from importlib.resources import files
from importlib.resources.abc import Traversable
from itertools import accumulate, pairwise
from math import ceil, inf
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from darkroom import documents
from darkroom.decode.raw import Curve
from darkroom.develop.contract import Input, Output
from darkroom.errors import SettingsError
from darkroom.train.cache import Appearance
from darkroom.train.pairlist import Shorts
from darkroom.train.pairs import Flips

Layout = Literal["packed", "masked", "packed36", "srgb"]
MOST_RATIO = 10_000.0
MOST_ARGUMENT = 4096
"""Channels or blocks; beyond it a mistake is likelier than a network."""
MOST_SITES = 2**28
"""Of a batch: 3 GB of pictures in float32."""
DATA = ("pairs", "photos", "darkened")
"""Kinds of data: real pairs, photos made dark by the sensor model, photos made dark in sRGB (Gupta et al.)."""


@dataclass(frozen=True)
class Stage:
    """One stretch of training; the optimiser starts afresh with each."""

    steps: int = 0
    """Batches; 0 where `epochs` says it."""
    epochs: int = 0
    """Times that every scene or photo is seen once; 0 where `steps` says it."""
    batch: int = 8
    crop: int = 240
    """Side of a crop in sites; pictures have as many pixels."""
    learning_rate: float = 1e-3
    """The peak."""
    drops: tuple[tuple[float, float], ...] = ()
    """(share of the stage, learning rate from there on); without any the rate falls along a cosine to 1 %."""
    warm_up: int = 0
    """Batches over which the learning rate rises from 0."""
    loss: dict[str, float] = field(default_factory=lambda: {"l1": 1.0})
    """Terms of losses.py and their weights."""
    data: dict[str, float] = field(default_factory=dict)
    """Kinds of DATA and their shares; empty: whatever was given, in equal shares."""
    references: Appearance = "plain"
    """stretched: histogram-stretched (SID, Table 3 row 8); contrast: dehazed inverted picture (Zamir et al.)."""
    fraction: float = 1.0
    """Share of the real scenes that is used."""
    last_blocks: int = 0
    """Train only so many of the network's last blocks and freeze the others; 0 trains all."""

    def length(self, scenes: int) -> int:
        """Steps of this stage where an epoch has so many scenes."""
        return self.steps or max(1, ceil(self.epochs * scenes / self.batch))


@dataclass(frozen=True)
class Recipe:
    """All that decides a run's result, but for its data and seed."""

    name: str
    about: str
    """What it reproduces, with its source, in one line."""
    network: str
    camera: str = "any"
    """An entry of cameras.toml, whose CFA, noise and colour are used; any: the noise of all."""
    arguments: dict[str, object] = field(default_factory=dict)
    """The network's own: widths and depths."""
    layout: Layout = "packed"
    input: Input = "balanced"
    output: Output = "camera"
    curve: Curve = "srgb"
    """Transfer curve of the references: SID's are rendered by LibRaw under BT.709."""
    cap: float = 300.0
    """Largest ratio; the true one is cut down to it."""
    shorts: Shorts = "all"
    """Which shorts of a scene: all, SID's `_00`, or RED's `_00_0.1s` at ratio 300 for 30 s references, else 100."""
    flips: Flips = "phase"
    """phase: mirrored so that the CFA's phase survives; sid: packed planes and picture alike, as the authors do."""
    optimiser: Literal["adamw", "muon"] = "adamw"
    """See optimisers.py; adamw without weight_decay is Adam."""
    weight_decay: float = 0.0
    clip: float = 0.0
    """Largest norm of the gradient; 0: not clipped."""
    stages: tuple[Stage, ...] = ()


Made = TypeVar("Made", Recipe, Stage)


def names() -> list[str]:
    """Every shipped recipe's name, sorted."""
    return sorted(f.name.removesuffix(".toml") for f in _folder().iterdir() if f.name.endswith(".toml"))


def load(name: str) -> Recipe:
    """Read a shipped recipe by name, or a file by its path.

    Raises SettingsError on an unknown name, malformed TOML, unknown keys and values of the wrong kind.
    """
    shipped = _folder() / f"{name}.toml"
    if "/" not in name and shipped.is_file():
        return parse(shipped.read_text(encoding="utf-8"), name, name=name)
    path = Path(name)
    try:
        return parse(path.read_text(encoding="utf-8"), str(path), name=path.stem)
    except (OSError, UnicodeDecodeError):
        raise SettingsError(f"{name}: no such recipe; give a TOML file, or one of {', '.join(names())}") from None


def _folder() -> Traversable:
    return files("darkroom.train") / "recipes"


def parse(text: str, file: str, *, name: str) -> Recipe:
    """Read a recipe's TOML text; `file` is what errors name. Raises SettingsError."""
    try:
        entries = documents.from_toml(text)
    except ValueError as error:
        raise SettingsError(f"{file}: is no TOML ({error}); mend it") from None
    stages = entries.pop("stages", [])
    if not isinstance(stages, list) or not all(isinstance(stage, dict) for stage in stages):
        raise SettingsError(f"{file}: stages are no tables; write each under [[stages]]")
    entries = {"name": name} | entries
    recipe = _made(Recipe, entries, file)
    made = tuple(_made(Stage, stage, f"{file}: stage {i}") for i, stage in enumerate(stages, 1))
    return checked(replace(recipe, stages=made or (Stage(),)), file)


def checked(recipe: Recipe, file: str) -> Recipe:
    """Return the recipe if it can be followed; SettingsError says what cannot."""
    if (recipe.layout == "srgb") != (recipe.input == "srgb"):
        raise SettingsError(f"{file}: layout srgb and input srgb go together; say both or neither")
    if not 1 <= recipe.cap <= MOST_RATIO:
        raise SettingsError(f"{file}: cap = {recipe.cap:g}; a ratio is 1 to {MOST_RATIO:g}")
    if not 0 <= recipe.weight_decay <= 1 or not 0 <= recipe.clip < inf:
        raise SettingsError(f"{file}: weight_decay must be 0 to 1, clip 0 or more")
    if not recipe.stages:
        raise SettingsError(f"{file}: has no stage; write one under [[stages]]")
    for key, value in recipe.arguments.items():
        numbers = value if isinstance(value, (list, tuple)) else (value,)
        if any(isinstance(number, (int, float)) and not 0 <= number <= MOST_ARGUMENT for number in numbers):
            raise SettingsError(f"{file}: arguments: {key} = {value!r}; a network's numbers are 0 to {MOST_ARGUMENT}")
    if recipe.output == "camera" and recipe.input not in ("headroom", "balanced"):
        raise SettingsError(f'{file}: output camera needs white-balanced light; say input = "headroom" or "balanced"')
    for i, stage in enumerate(recipe.stages, 1):
        place = f"{file}: stage {i}"
        if (stage.steps > 0) == (stage.epochs > 0):
            raise SettingsError(f"{place}: has {stage.steps} steps and {stage.epochs} epochs; say one of them")
        if unknown := sorted(set(stage.data) - set(DATA)):
            raise SettingsError(f"{place}: no such data as {unknown[0]}; known are {', '.join(DATA)}")
        if stage.data.get("darkened") and (recipe.input, recipe.output) != ("srgb", "srgb"):
            raise SettingsError(
                f"{place}: darkened photos are sRGB; say layout, input and output srgb, or leave them out"
            )
        if not 0 < stage.fraction <= 1 or stage.batch < 1 or stage.crop < 1 or not stage.learning_rate > 0:
            raise SettingsError(f"{place}: fraction, batch, crop and learning_rate must be above 0; fraction at most 1")
        if stage.batch * stage.crop**2 > MOST_SITES or stage.learning_rate > 1:
            raise SettingsError(
                f"{place}: batch {stage.batch} of crop {stage.crop} at learning rate {stage.learning_rate:g}; "
                f"give batch x crop x crop of {MOST_SITES:.0e} at most, and a rate of 1 at most"
            )
        for name, weights in (("loss", stage.loss), ("data", stage.data)):
            if any(not 0 <= weight < inf for weight in weights.values()) or (weights and not sum(weights.values()) > 0):
                raise SettingsError(f"{place}: {name}: weights must be 0 or more, not all 0")
        if stage.warm_up < 0 or stage.last_blocks < 0 or stage.steps < 0 or stage.epochs < 0:
            raise SettingsError(f"{place}: steps, epochs, warm_up and last_blocks must be 0 or more")
        if any(not (0 <= share <= 1 and 0 <= rate <= 1) for share, rate in stage.drops):
            raise SettingsError(f"{place}: drops: each is (share of the stage, learning rate), both 0 to 1")
    return recipe


def _made(kind: type[Made], entries: dict[str, Any], place: str) -> Made:
    """Make a dataclass of TOML entries, each of the type its field says."""
    known = {f.name: f.type for f in fields(kind)}
    for key, value in entries.items():
        if key not in known:
            raise SettingsError(f"{place}: unknown key {key}; known are {', '.join(known)}")
        wanted = get_args(known[key]) if get_args(known[key]) and isinstance(get_args(known[key])[0], str) else ()
        fits = value in wanted if wanted else _fits(value, known[key])
        if not fits:
            say = f"one of {', '.join(wanted)}" if wanted else str(getattr(known[key], "__name__", known[key]))
            raise SettingsError(f"{place}: {key} = {value!r}; wanted {say}")
    for field_ in fields(kind):
        required = field_.default is field_.default_factory  # both MISSING
        if required and field_.name not in entries:
            raise SettingsError(f"{place}: has no {field_.name}; add it")
    return kind(**{key: _frozen(value) for key, value in entries.items()})


def _fits(value: object, type_: object) -> bool:
    if type_ is float:
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if type_ in (int, str):
        return isinstance(value, type_) and not isinstance(value, bool)
    if str(type_).startswith("dict[str, float]"):
        return isinstance(value, dict) and all(_fits(weight, float) for weight in value.values())
    if str(type_).startswith("dict"):
        return isinstance(value, dict)
    return isinstance(value, (list, tuple)) and all(
        isinstance(row, (list, tuple)) and len(row) == 2 and all(_fits(x, float) for x in row) for row in value
    )


def _frozen(value: Any) -> Any:
    return tuple(_frozen(each) for each in value) if isinstance(value, list) else value


def dump(recipe: Recipe) -> str:
    """Write a recipe as TOML: what `parse` reads back equal."""
    lines = [f"{f.name} = {_toml(getattr(recipe, f.name))}" for f in fields(Recipe) if f.name != "stages"]
    for stage in recipe.stages:
        lines += ["", "[[stages]]", *(f"{f.name} = {_toml(getattr(stage, f.name))}" for f in fields(Stage))]
    return "\n".join(lines) + "\n"


def _toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False).replace(
            "\x7f", "\\u007f"
        )  # TOML's strings are JSON's but for that
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_toml(each)}" for key, each in value.items()) + " }" if value else "{}"
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(_toml(each) for each in value) + "]"
    return repr(value)


def shortened(recipe: Recipe, steps: int, scenes: int) -> Recipe:
    """Give a recipe another length: its stages keep their shares of `steps`, each at least one, and of them their
    warm-up's. Of fewer steps than stages the last stages get none and are left out."""
    stages = recipe.stages[:steps]
    lengths = [stage.length(scenes) for stage in stages]
    ends = [0]
    for i, reached in enumerate(accumulate(lengths), 1):
        left = len(lengths) - i
        ends.append(max(ends[-1] + 1, min(round(steps * reached / sum(lengths)), steps - left)))
    made = tuple(
        replace(stage, epochs=0, steps=end - begin, warm_up=round(stage.warm_up * (end - begin) / length))
        for stage, length, (begin, end) in zip(stages, lengths, pairwise(ends), strict=True)
    )
    return replace(recipe, stages=made)
