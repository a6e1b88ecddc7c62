"""The examples in docstrings hold, in the package as it is installed."""

import doctest
import pkgutil
from importlib import import_module

import pytest

import darkroom

PROGRAMS = ("darkroom.__main__",)
MODULES = [module.name for module in pkgutil.walk_packages(darkroom.__path__, "darkroom.")]


@pytest.mark.parametrize("name", [name for name in MODULES if name not in PROGRAMS])
def test_the_examples_of_a_module_hold(name):
    assert doctest.testmod(import_module(name)).failed == 0
