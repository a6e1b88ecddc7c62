"""Options that several commands share, and the words they are read from.

text of an option -> the value a setting holds; SettingsError names the option where the text makes no sense
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from darkroom.errors import DarkroomError, ModelError, SettingsError

if TYPE_CHECKING:
    from darkroom.develop.balance import WhiteBalance
    from darkroom.develop.model import Model

Amp = Annotated[
    str,
    typer.Option(metavar="AMP", help="Ratio to amplify by: auto, a number, iso:409600 or exposure:10s."),
]
ModelName = Annotated[
    str | None,
    typer.Option("--model", metavar="NAME|FILE", help="Network: a shipped one or an .onnx file. [default: by sensor]"),
]
Device = Annotated[
    str,
    typer.Option(
        metavar="DEVICE",
        help="Where the network runs: auto (the fastest there is), cpu (the same picture everywhere), "
        "openvino, openvino:GPU, openvino:NPU, cuda, rocm, directml or coreml.",
    ),
]
Memory = Annotated[str, typer.Option(metavar="SIZE", help="Most memory the whole process may use.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object a line.")]

QUALITIES = ("fast", "fine")
"""Of shipped networks."""

_UNITS = {"": 1, "B": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}
"""What may follow the number of a size, in capitals and without its last B, and the bytes it means."""
_LEAST_MEMORY = 200_000_000
"""Bytes: with less, not even the libraries load."""


def memory(text: str) -> int:
    """Read a size in bytes.

    >>> memory("1GB"), memory("1.5 GiB"), memory("800m")
    (1000000000, 1610612736, 800000000)
    """
    number = text.strip().upper().rstrip("BIKMG ")
    unit = text.strip().upper()[len(number) :].strip()
    unit = unit if unit == "B" else unit.removesuffix("B")
    try:
        size = int(float(number) * _UNITS[unit])
    except (ValueError, KeyError, OverflowError):
        raise SettingsError(f"--memory {text}: is no size; give one such as 800MB or 1GB") from None
    if size < _LEAST_MEMORY:
        raise SettingsError(f"--memory {text}: is too little to load the libraries; give at least 200MB")
    return size


def white_balance(text: str) -> "WhiteBalance":
    """Read a white balance: camera, daylight, auto, or three gains.

    >>> white_balance("2,1,1.5")
    (2.0, 1.0, 1.5)
    """
    named: dict[str, WhiteBalance] = {"camera": "camera", "daylight": "daylight", "auto": "auto"}
    if (name := text.lower()) in named:
        return named[name]
    gains = _numbers(text)
    if gains is None or len(gains) != 3 or not all(0.01 <= gain <= 100 for gain in gains):
        raise SettingsError(f"--wb {text}: is no white balance; give camera, daylight, auto, or gains such as 2,1,1.5")
    return gains[0], gains[1], gains[2]


def brackets(text: str | None) -> tuple[float, ...]:
    """Read the factors of several brightnesses; none where the option was not given.

    >>> brackets("0.5,1,2")
    (0.5, 1.0, 2.0)
    """
    if text is None:
        return ()
    factors = _numbers(text)
    if not factors or not all(0.001 <= factor <= 1000 for factor in factors):
        raise SettingsError(f"--brackets {text}: are no brightnesses; give factors on the ratio such as 0.5,1,2")
    if len({f"{factor:g}" for factor in factors}) < len(factors):
        raise SettingsError(f"--brackets {text}: names one brightness twice; give each once")
    return factors


def _numbers(text: str) -> tuple[float, ...] | None:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        return None


def device(text: str) -> str:
    """Read a device's name; whether it is there is known when a network is opened."""
    from darkroom.develop import engines

    if text not in engines.DEVICES:
        raise SettingsError(f"--device {text}: no such device; known are {', '.join(engines.DEVICES)}")
    return text


def default_network(quality: str) -> str:
    """Name a shipped network of a quality."""
    from darkroom.develop import model

    if quality not in QUALITIES:
        raise SettingsError(f"--quality {quality}: no such quality; known are {', '.join(QUALITIES)}")
    return model.default("bayer", quality)


def network_file(name: str) -> Path:
    """Find the file of a network that the user named, and see that it is one of ours: wrong usage otherwise."""
    from darkroom.develop import model

    try:
        file = model.find(name)
        model.read_contract(file)
    except ModelError as error:
        raise SettingsError(str(error)) from error
    return file


def needs_torch() -> None:
    """Import what training stands on, or say in one line what is missing."""
    try:
        from darkroom.train import loop  # noqa: F401
    except ModuleNotFoundError as error:
        if (error.name or "").startswith("darkroom"):
            raise
        missing = f"train: needs {error.name}, which is not installed"
        raise DarkroomError(f'{missing}; run pip install "darkroom-raw[train]"') from None


def cache_folder() -> Path:
    """Where decoded data is kept from run to run, as the system has it."""
    home = os.environ.get("XDG_CACHE_HOME") or (os.environ.get("LOCALAPPDATA") if os.name == "nt" else None)
    return Path(home or Path.home() / ".cache") / "darkroom"


def networks(names: list[str], device: str) -> "dict[str, Model]":
    """Load the networks, each under its file's name, or its path where two share that."""
    from darkroom.develop import model

    try:
        files = [model.find(name) for name in names]
        stems = [file.stem for file in files]
        called = [file.stem if stems.count(file.stem) == 1 else str(file) for file in files]
        loaded = [model.load(file, device=device) for file in files]
    except ModelError as error:  # wrong usage: no photo's fault
        raise SettingsError(str(error)) from error
    return dict(zip(called, loaded, strict=True))


def new_folder(path: Path) -> Path:
    """Make the folder for pictures; what is in use already is refused."""
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise SettingsError(f"{path}: already exists and is not empty; name a new folder")
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(
            f"{path}: cannot be made ({(error.strerror or '').lower()}); choose another folder"
        ) from error
    return path
