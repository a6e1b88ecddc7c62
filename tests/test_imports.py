"""Who may import whom: the rules of the house, read from the source by `ast`."""

import ast
import sys
from functools import cache
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[1] / "darkroom"
MODULES = sorted(".".join(path.relative_to(HOUSE.parent).with_suffix("").parts) for path in HOUSE.rglob("*.py"))
COMMAND_LINE = [module for module in MODULES if module.startswith("darkroom.cli.")]
STAGES = ("raw", "cfa", "amplifier", "tiles", "finish", "model")
GROUND = {"darkroom.frame", "darkroom.contract", "darkroom.curves", "darkroom.errors", "darkroom.tiff"}
"""What everything may stand on."""

LIBRARIES = {
    "typer": ("darkroom.cli",),
    "rich": ("darkroom.cli",),
    "rawpy": ("darkroom.libraw", "darkroom.evaluate"),  # the program of the decoder's process; the baseline to beat
    "onnxruntime": ("darkroom.model", "darkroom.train.export"),  # the tools that quantise
    "imagecodecs": ("darkroom.image",),
    "isal": ("darkroom.image",),
    "imageio": ("darkroom.image", "darkroom.train.simulate", "darkroom.evaluate"),
    "tifffile": ("darkroom.image",),
    # Not to write pictures: training reads photos, the evaluation too, and the demo draws its scene.
    "PIL": ("darkroom.train", "darkroom.evaluate", "darkroom.cli.scene"),
    "torch": ("darkroom.train", "darkroom.evaluate.lpips"),
    "safetensors": ("darkroom.train",),
    "onnx": ("darkroom.train", "darkroom.evaluate.cost"),
    "skimage": ("darkroom.evaluate",),
    "bm3d": ("darkroom.evaluate",),
}
"""A library -> the modules and packages that alone may import it."""

HELPERS = {
    "darkroom.raw": {"darkroom.decoder", "darkroom.child", "darkroom.tags", "darkroom.intact"},
}
"""What a stage was split into: its own rooms."""

EVALUATION = {
    "darkroom.train.noise",
    "darkroom.train.simulate",
    "darkroom.train.vgg",
    "darkroom.train.pairs",
    "darkroom.train.cache",
}
"""The one exception to rule 3: `evaluate` makes its dark photos as training does."""

LATE = ("darkroom.cli.show", "darkroom.cli.scene")
"""Modules that commands import once they run."""


@cache
def tree(module: str) -> ast.Module:
    path = HOUSE.parent / module.replace(".", "/")
    return ast.parse((path.with_suffix(".py")).read_text())


@cache
def imported(module: str) -> frozenset[str]:
    """Every module that a module imports, wherever in the file; `from package import name` counts as both."""
    package = module.split(".") if module.endswith("__init__") else module.split(".")[:-1]
    package = [part for part in package if part != "__init__"]
    names = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = ".".join(package[: len(package) - node.level + 1]) + "." if node.level else ""
            base = (above + (node.module or "")).rstrip(".")
            names |= {base} | {f"{base}.{alias.name}" for alias in node.names}
    return frozenset(names)


def ours(module: str) -> set[str]:
    """The modules of the house that a module imports."""
    known = {name.removesuffix(".__init__") for name in MODULES}
    return {name for name in imported(module) if name in known and name != "darkroom"}


def within(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


@pytest.mark.parametrize("library", LIBRARIES)
def test_a_library_is_imported_only_where_it_belongs(library):
    users = {module for module in MODULES if any(within(name, (library,)) for name in imported(module))}
    assert {module for module in users if not within(module, LIBRARIES[library])} == set()


def test_the_ground_stands_on_nothing_of_ours_but_errors():
    assert ours("darkroom.frame") == set()
    assert ours("darkroom.errors") == set()
    assert ours("darkroom.contract") <= {"darkroom.errors"}


@pytest.mark.parametrize("stage", STAGES)
def test_stages_never_import_each_other(stage):
    module = f"darkroom.{stage}"
    assert ours(module) - GROUND <= HELPERS.get(module, set())


@pytest.mark.parametrize("module", sorted(set().union(*HELPERS.values())))
def test_what_a_stage_was_split_into_imports_no_stage(module):
    assert not ours(module) & {f"darkroom.{stage}" for stage in STAGES}


def test_nothing_imports_the_command_line():
    users = {module for module in MODULES if any(within(name, ("darkroom.cli",)) for name in imported(module))}
    assert {module for module in users if not within(module, ("darkroom.cli", "darkroom.__main__"))} == set()


@pytest.mark.parametrize("package", ["train", "evaluate"])
def test_only_the_command_line_imports_training_and_evaluation(package):
    place = f"darkroom.{package}"
    for module in MODULES:
        if not within(module, ("darkroom.cli", place)):
            allowed = EVALUATION | {"darkroom.train"} if within(module, ("darkroom.evaluate",)) else set()
            assert {name for name in ours(module) if within(name, (place,))} <= allowed, module


@pytest.mark.parametrize("module", [module for module in MODULES if module not in COMMAND_LINE])
def test_only_the_command_line_prints_exits_or_reads_the_environment(module):
    if module == "darkroom.libraw":  # a program of its own
        return
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Call):
            assert ast.unparse(node.func) not in ("print", "exit", "quit", "sys.exit", "os._exit", "input"), node.lineno
        if isinstance(node, ast.Attribute):
            terminal = ("os.environ", "os.getenv", "sys.argv", "sys.stdin", "sys.stdout", "sys.stderr")
            assert ast.unparse(node) not in terminal, node.lineno


@pytest.mark.parametrize("module", [module for module in COMMAND_LINE if module not in LATE])
def test_commands_import_nothing_heavy_before_they_run(module):
    light = {"typer", "darkroom", "darkroom.errors", "darkroom.cli"}
    for node in tree(module).body:
        names: set[str] = set()
        if isinstance(node, ast.Import):
            names = {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names = {str(node.module)}
        assert {name for name in names if name.split(".")[0] not in sys.stdlib_module_names} <= light, node.lineno


def test_the_rules_would_notice():
    assert "darkroom.decoder" in ours("darkroom.raw"), "relative imports are seen"
    assert "darkroom.cli.options" in ours("darkroom.cli.develop"), "names imported from packages are seen"
    assert "onnxruntime" in imported("darkroom.model")
    assert "numpy" in imported("darkroom.cli.demo"), "imports inside functions are seen"
