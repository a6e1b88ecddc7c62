"""What flows from stage to stage is frozen, and what holds an array is itself alone: arrays have no one equality."""

import pkgutil
from dataclasses import fields, is_dataclass
from importlib import import_module

import pytest

GROWS = {"Course", "Sheet"}
"""What fills as pictures are made."""


def dataclasses_of(room: str) -> list[type]:
    places = import_module(room).__path__
    modules = [import_module(f"{room}.{each.name}") for each in pkgutil.iter_modules(places)]
    return [
        each
        for module in modules
        for each in vars(module).values()
        if isinstance(each, type) and is_dataclass(each) and each.__module__ == module.__name__
    ]


EVERY = [*dataclasses_of("darkroom.develop"), *dataclasses_of("darkroom.batch")]


@pytest.mark.parametrize("kind", EVERY, ids=lambda kind: f"{kind.__module__}.{kind.__name__}")
def test_what_flows_is_frozen(kind):
    assert kind.__dataclass_params__.frozen == (kind.__name__ not in GROWS)
    held = " ".join(str(each.type) for each in fields(kind))
    if any(word in held for word in ("ndarray", "NDArray", "Array", "InferRequest", "InferenceSession")):
        assert kind.__eq__ is object.__eq__ and kind.__hash__ is object.__hash__
