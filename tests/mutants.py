"""A developer's tool: change one thing in the code at a time, and see whether a test notices.

python tests/mutants.py --most 100 --seed 1  -> a line a mutant, then the share killed by room

Each mutant is one change of the kind a slip of the hand makes: a comparison, a sign, a bound, a number, a condition. It
is made in a copy of the project in a temporary folder, and tried by the tests of its room up to the first that fails,
its module's own ahead, so that most cost seconds. Sampled over all modules of decode, develop, write and batch, in an
order that the seed gives: the first hundred of a seed are a fair sample, too.

Why not a library: mutmut (3) changes function bodies only, and a good part of what can be wrong here are constants of a
module; cosmic-ray changes numbers by one, which is nothing to 65535 and everything to 0.05, and has one test command
for all modules.
"""

import argparse
import ast
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("decode", "develop", "write", "batch")
TESTS = {
    "decoder": ["decode/test_decoder", "decode/test_child", "decode/test_refusals"],
    "child": ["decode/test_child"],
    "libraw": ["decode/test_decoder", "decode/test_child", "decode/test_raw"],
    "intact": ["decode/test_intact", "decode/test_refusals", "evaluate/test_faults"],
    "raw": ["decode/test_raw", "decode/test_levels", "decode/test_facts", "decode/test_refusals", "decode/test_render"],
    "levels": ["decode/test_facts", "decode/test_levels", "decode/test_raw", "decode/test_render"],
    "tags": ["decode/test_tags", "decode/test_raw"],
    "balance": ["develop/test_balance", "develop/test_white_balance", "develop/test_decided"],
    "cfa": ["develop/test_cfa"],
    "blocks": ["develop/test_blocks", "develop/test_finish"],
    "burst": ["develop/test_burst", "develop/test_burst_steps"],
    "curves": ["develop/test_curves", "develop/test_finish"],
    "engines": ["develop/test_engines", "develop/test_model"],
    "finish": ["develop/test_finish", "develop/test_finish_steps"],
    "grain": ["develop/test_grain", "develop/test_hotsites"],
    "linear": ["develop/test_linear_light", "write/test_linear"],
    "onnxfile": ["develop/test_onnxfile", "develop/test_door"],
    "pipeline": ["develop/test_pipeline", "develop/test_decided", "develop/test_settings"],
    "exif": ["write/test_exif", "write/test_exif_steps"],
    "image": ["write/test_image", "write/test_image_steps"],
    "dng": ["write/test_dng", "decode/test_raw", "write/test_exif"],
    "page": ["write/test_page"],
    "batch": ["batch/test_batch", "batch/test_flight"],
    "disk": ["batch/test_planned", "batch/test_jobs"],
    "jobs": ["batch/test_jobs", "batch/test_planned"],
    "bursts": ["batch/test_burst_files"],
    "sheet": ["cli/test_sheet"],
}
"""Tests that come first, where not only the file of the module's own name."""
SLOW = ("test_linear", "test_burst_files", "test_cluster", "test_watching")
"""Files of tests that take seconds, and come last."""
PATIENCE = 600.0
"""seconds: longer than the tests of any room take; a mutant that hangs is noticed."""

COMPARED = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
COMPUTED = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.FloorDiv: ast.Mult}


@dataclass(frozen=True)
class Mutant:
    """One change to one module."""

    module: Path
    place: int
    """Which node of the module's tree, in the order of `ast.walk`."""


def mutants(module: Path) -> Iterator[Mutant]:
    """Find every mutant of a module."""
    tree = ast.parse(module.read_text())
    idle = _idle(tree)
    for place, node in enumerate(ast.walk(tree)):
        if id(node) not in idle and _change(node):
            yield Mutant(module, place)


def mutated(mutant: Mutant) -> tuple[str, str]:
    """Return the module's text with the change in it, and what was changed, in a line."""
    tree = ast.parse(mutant.module.read_text())
    found = next(node for at, node in enumerate(ast.walk(tree)) if at == mutant.place)
    change, before = _change(found), ast.unparse(found)
    assert change
    change(found)
    told = f"line {found.lineno}: {before} -> {ast.unparse(found)}" if hasattr(found, "lineno") else before
    return ast.unparse(tree), " ".join(told.split())[:150]


def _idle(tree: ast.Module) -> set[int]:
    """Find what no run depends on: docstrings and the like, annotations, type-checking blocks."""
    idle = set[int]()
    for node in ast.walk(tree):
        away: list[ast.AST] = []
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            away = [node.value]
        elif isinstance(node, ast.AnnAssign | ast.arg) and node.annotation:
            away = [node.annotation]
        elif isinstance(node, ast.FunctionDef) and node.returns:
            away = [node.returns]
        elif isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "__name__ == '__main__'"):
            away = [node]
        elif isinstance(node, ast.Assign) and "Literal" in ast.unparse(node.value):
            away = [node.value]
        idle.update(id(each) for below in away for each in ast.walk(below))
    return idle


def _change(node: ast.AST) -> Callable[[Any], None] | None:
    """Say what to change in a node, in place."""
    match node:
        case ast.Compare(ops=[op, *_]) if type(op) in COMPARED:
            return lambda it: it.ops.__setitem__(0, COMPARED[type(op)]())
        case ast.BinOp(op=op) if type(op) in COMPUTED and not _worded(node):
            return lambda it: setattr(it, "op", COMPUTED[type(op)]())
        case ast.BoolOp(op=op):
            other = ast.Or if isinstance(op, ast.And) else ast.And
            return lambda it: setattr(it, "op", other())
        case ast.If() | ast.IfExp() | ast.While():
            return lambda it: setattr(it, "test", ast.UnaryOp(ast.Not(), it.test))
        case ast.Constant(value=bool()):
            return lambda it: setattr(it, "value", not it.value)
        case ast.Constant(value=int()):
            return lambda it: setattr(it, "value", it.value + 1)
        case ast.Constant(value=float()):
            return lambda it: setattr(it, "value", it.value * 1.5 + (it.value == 0))
        case ast.Name(id="min" | "max", ctx=ast.Load()):
            return lambda it: setattr(it, "id", "max" if it.id == "min" else "min")
        case _:
            return None


def _worded(node: ast.BinOp) -> bool:
    """Whether it joins text, whose minus is an error that any run would show."""
    return any(isinstance(each, ast.JoinedStr | ast.Constant) and isinstance(getattr(each, "value", ""), str)
               for each in (node.left, node.right))  # fmt: skip


def _tests(room: str, module: str, copied: Path) -> list[str]:
    """Name the test files of a room, those that know most of the module first, slow ones of others last."""
    own = [f"tests/{name}.py" for name in TESTS.get(module, [f"{room}/test_{module}"])]
    others = [str(file.relative_to(copied)) for file in (copied / "tests" / room).glob("test_*.py")]
    others.sort(key=lambda name: (SLOW.index(Path(name).stem) if Path(name).stem in SLOW else -1, name))
    return list(dict.fromkeys(name for name in [*own, *others] if (copied / name).exists()))


def _noticed(copied: Path, tests: list[str]) -> bool:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", "--no-header", *tests]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    with subprocess.Popen(
        command,
        cwd=copied,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as process:
        try:
            return process.wait(PATIENCE) != 0
        except subprocess.TimeoutExpired:
            print(f"no end within {PATIENCE:.0f} s, counted as noticed:", flush=True)
            return True
        finally:
            with contextlib.suppress(ProcessLookupError):  # what the tests started goes with them
                os.killpg(process.pid, signal.SIGKILL)


def main() -> None:
    """Try mutants until there are enough of them, or the time is up."""
    parser = argparse.ArgumentParser(description="Change the code one thing at a time, and see whether a test notices.")
    parser.add_argument("--most", type=int, default=300, help="mutants to try")
    parser.add_argument("--minutes", type=float, default=60, help="time after which no other is begun")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rooms", nargs="+", choices=ROOMS, default=ROOMS)
    parser.add_argument("--module", help="only this one, such as intact")
    given = parser.parse_args()
    modules = [file for room in given.rooms for file in sorted((ROOT / "darkroom" / room).glob("*.py"))]
    every = [each for file in modules if given.module in (None, file.stem) for each in mutants(file)]
    random.Random(given.seed).shuffle(every)
    tried, killed = Counter[str](), Counter[str]()
    ends = time.monotonic() + 60 * given.minutes
    with tempfile.TemporaryDirectory() as folder:
        copied = Path(folder) / "project"
        shutil.copytree(ROOT, copied, ignore=shutil.ignore_patterns(".git", "__pycache__", ".*_cache"))
        if (ROOT.parent / "shared").exists():
            (Path(folder) / "shared").symlink_to((ROOT.parent / "shared").resolve())
        for room in sorted({each.module.parent.name for each in every[: given.most]}):
            if _noticed(copied, _tests(room, "", copied)):
                sys.exit(f"tests/{room}: fails as the code is; mend that first")
        for mutant in every[: given.most]:
            if time.monotonic() > ends:
                break
            file = copied / mutant.module.relative_to(ROOT)
            whole, room = file.read_text(), mutant.module.parent.name
            source, told = mutated(mutant)
            file.write_text(source)
            noticed = _noticed(copied, _tests(room, mutant.module.stem, copied))
            file.write_text(whole)
            tried[room] += 1
            killed[room] += noticed
            print(f"{'killed  ' if noticed else 'SURVIVED'} {mutant.module.relative_to(ROOT)}, {told}", flush=True)
    for room in tried:
        print(f"{room:10}{killed[room]:5} of {tried[room]}, {killed[room] / tried[room]:.0%}")
    print(f"{'all':10}{killed.total():5} of {tried.total()}, {killed.total() / max(1, tried.total()):.0%}")


if __name__ == "__main__":
    main()
