"""The networks, one file per paper; each takes packed light and returns a picture.

    (N, C, h, w) bright  ->  (N, 3, H, W)

A network is made for one packing, tells the `multiples` that packed height and width must have, and the
`blocks()` it is made of, from input to output, which together hold all its parameters.
"""

from inspect import signature
from typing import Any

from darkroom.develop.contract import Packing
from darkroom.errors import SettingsError
from darkroom.train.networks.can import Can
from darkroom.train.networks.half import Half
from darkroom.train.networks.red import Red
from darkroom.train.networks.unet import Unet

Network = Half | Red | Unet | Can

KINDS: dict[str, type[Network]] = {"half": Half, "red": Red, "unet": Unet, "can": Can}


def build(name: str, packing: Packing, arguments: dict[str, object]) -> Network:
    """Make the network of a name for a packing; `arguments` are its own widths and depths, by name.

    Weights are drawn from torch's generator. Raises SettingsError: no such network, or it has no such
    packing or argument, or an argument is of the wrong kind or not positive.
    """
    if name not in KINDS:
        raise SettingsError(f"network {name}: no such network; choose {', '.join(KINDS)}")
    kind = KINDS[name]
    defaults = {key: each.default for key, each in signature(kind).parameters.items() if key != "packing"}
    fitting: dict[str, Any] = {}
    for key, value in arguments.items():
        if key not in defaults:
            raise SettingsError(f"network {name}: has no argument {key}; it takes {', '.join(defaults)}")
        fitting[key] = tuple(value) if isinstance(value, list) else value
        if not _alike(fitting[key], defaults[key]):
            raise SettingsError(
                f"network {name}: {key} is {value!r}; give it as {defaults[key]!r} is, sizes greater than 0"
            )
    return kind(packing, **fitting)


def _alike(value: object, default: object, *, least: int = 1) -> bool:
    """Tell whether a value is of its default's type, and where that is a number large enough: no list of blocks may be
    empty, but a level may have none.
    """
    if isinstance(default, tuple):
        return (
            isinstance(value, tuple)
            and len(value) == len(default)
            and all(_alike(*each, least=0) for each in zip(value, default, strict=True))
        )
    return type(value) is type(default) and (type(value) is bool or (isinstance(value, int) and value >= least))
