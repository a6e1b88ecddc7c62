"""`darkroom presets`, and what options of `develop` hold where the command line leaves them out.

darkroom.toml -> defaults of the options, the file's own and those of the preset asked for

The file lies beside the photos, or in a folder above them, or else where the system keeps a user's settings. Its keys
are the long options without their dashes:

    tone = 0.5
    [preset.moon]
    amp = 100
    wb = "daylight"
"""

import json
import os
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Protocol

import typer
from typer.core import TyperCommand

from darkroom import documents
from darkroom.cli import formats, options, say
from darkroom.errors import OutputError, SettingsError

if TYPE_CHECKING:
    from typer import Context

FILE = "darkroom.toml"
OF_ONE_RUN = frozenset({"files", "preset", "save_preset", "dry_run", "as_json", "help", "watch", "cluster"})
"""Parameters of `develop` that no file can hold: whose machines do the work is nothing to be said beside photos."""
OF_ONE_PLACE = OF_ONE_RUN | {"output"}
"""And what no preset should: it would name one picture for all photos."""

Value = str | int | float | bool | list[str]


@dataclass(frozen=True)
class Table:
    """Options as one table of a file holds them."""

    origin: str
    """What to call it: the file, and the preset in it."""
    values: dict[str, Value]
    """By key, as in the file."""
    places: dict[str, str]
    """File and line of each key."""


@dataclass(frozen=True)
class Stored:
    """What a file holds."""

    defaults: Table
    presets: dict[str, Table]


class Parameter(Protocol):
    """An option or argument, as typer has it."""

    @property
    def name(self) -> str | None: ...
    @property
    def opts(self) -> list[str]: ...


@dataclass(frozen=True)
class Given:
    """What darkroom.toml gave a run."""

    origins: dict[str, str]
    """Parameter -> what the table is called that holds it."""
    places: dict[str, str]
    """Key of such a parameter -> file and line that holds it."""
    left_out: dict[str, str]
    """Key of what does not suit the format that the command line asks for -> so in words."""


class FromFile(TyperCommand):
    """A command whose options fall back on what darkroom.toml says, before they fall back on their own defaults."""

    def parse_args(self, ctx: "Context", args: list[str]) -> list[str]:  # type: ignore[override]
        told, _, _ = self.make_parser(ctx).parse_args(args=list(args))
        keys = known(self.params)
        tables = _tables(told.get("files") or (), told.get("preset"), keys)
        named = formats.named_by(told.get("output")).lower()
        kind = formats.FORMATS.get(named, told.get("format"))
        stated = {*told, "format"} if kind else {*told}
        ctx.obj = given = Given({}, {}, {})
        ctx.default_map = {}
        for table in tables:
            for key, value in table.values.items():
                if keys[key] in stated:
                    continue  # the command line wins
                if kind in formats.SUFFIXES and not formats.suits(keys[key], value, kind):
                    given.left_out[key] = f"{table.origin}: {key} {value} is left out, it does not suit {kind}"
                    continue
                ctx.default_map[keys[key]] = value
                given.origins[keys[key]], given.places[key] = table.origin, table.places[key]
        try:
            return super().parse_args(ctx, args)
        except typer.BadParameter as error:
            name = error.param.name if error.param else None
            if name not in given.origins:
                raise
            where = next(f"{place}: {key}" for key, place in given.places.items() if keys[key] == name)
            raise SettingsError(f"{where}: {error.message.rstrip('.')}; mend it there") from error

    def invoke(self, ctx: "Context") -> Any:  # type: ignore[override]
        """Run it; a SettingsError of an option that darkroom.toml gave says so."""
        try:
            return super().invoke(ctx)
        except SettingsError as error:
            option = re.match(r"--([a-z-]+)", str(error))
            if option is None or option[1] not in ctx.obj.places:
                raise
            raise SettingsError(f"{ctx.obj.places[option[1]]}: {str(error).removeprefix('--')}") from error


def presets(
    context: typer.Context,
    files: Annotated[
        list[str] | None,
        typer.Argument(metavar="FILES...", help="Photos whose folder to look in. [default: here]", show_default=False),
    ] = None,
    as_json: options.Json = False,
) -> None:
    """List the presets that `develop --preset` knows here, and the defaults that hold for these photos.

    \b
    Example:
      darkroom presets
    """
    assert context.parent
    develop = context.parent.command.commands["develop"]  # type: ignore[attr-defined]
    keys = known(develop.params)
    places = _places(files or (FILE,))
    found: dict[str, Table] = {}
    defaults: Table | None = None
    for path in places:
        stored = read(path, keys)
        defaults = defaults or stored.defaults
        found = stored.presets | found
    if as_json:
        for name, table in found.items():
            say.line(json.dumps({"preset": name, "from": table.origin, "settings": table.values}))
        return
    if defaults and defaults.values:
        say.line(f"defaults: {_listed(defaults.values)}  ({defaults.origin})")
    for name, table in found.items():
        say.line(f"{name}: {_listed(table.values)}  ({table.origin})")
    if not found:
        say.line(f"no presets in {places[0] if places else _users()}; make one by --save-preset", file=sys.stderr)


def known(parameters: Iterable[Parameter]) -> dict[str, str]:
    """Key of a file -> the parameter it is for."""
    longest = {param: max(param.opts, key=len) for param in parameters}
    return {
        option.removeprefix("--"): str(param.name)
        for param, option in longest.items()
        if option.startswith("--") and param.name not in OF_ONE_RUN
    }


def used(context: "Context") -> dict[str, dict[str, object]]:
    """Say of every option that is not left to its own default what it holds, and from where: by key."""
    told = {}
    for key, name in known(context.command.params).items():
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            told[key] = {"value": _plain(context.params[name]), "from": "the command line"}
        elif source is not None and source.name == "DEFAULT_MAP":
            told[key] = {"value": _plain(context.params[name]), "from": context.obj.origins[name]}
    return told


def described(context: "Context") -> list[str]:
    """Say in lines which options a file gave, and which the command line; nothing where no file gave any."""
    by_origin: dict[str, dict[str, object]] = {}
    for key, entry in used(context).items():
        by_origin.setdefault(str(entry["from"]), {})[key] = entry["value"]
    lines = [f"from {origin}: {_listed(values)}" for origin, values in by_origin.items()] if context.obj.origins else []
    return [*lines, *context.obj.left_out.values()]


def save(context: "Context", name: str) -> Path:
    """Add what was used to the user's file as a preset, and return the file.

    Raises SettingsError for a name that is taken or cannot be one, OutputError where the file cannot be written.
    """
    from darkroom.write import part

    path = _users()
    check_free(context, name)
    keys = known(context.command.params)
    entries = {
        key: _placed(keys[key], entry["value"], Path())
        for key, entry in used(context).items()
        if keys[key] not in OF_ONE_PLACE
    }
    try:
        before = path.read_text("utf-8") if path.exists() else ""
        if before and not before.endswith("\n"):
            before += "\n"
        lines = [
            f"[preset.{name}]",
            *(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in entries.items()),
        ]
        path.parent.mkdir(parents=True, exist_ok=True)
        with part.part(path.parent) as (beside, file):
            file.write((before + ("\n" if before else "") + "\n".join(lines) + "\n").encode())
            file.close()
            beside.replace(path)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise OutputError(f"{path}: cannot be written ({reason}); leave --save-preset out") from error
    return path


def check_free(context: "Context", name: str) -> None:
    """Refuse a name for a new preset that is taken, or that TOML would want quoted; raises SettingsError."""
    if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise SettingsError(f"--save-preset {name}: is no name; use letters, digits, - and _")
    path = _users()
    if path.is_file() and name in read(path, known(context.command.params)).presets:
        raise SettingsError(f"--save-preset {name}: is in {path} already; choose another name, or delete it there")


def read(path: Path, keys: Mapping[str, str]) -> Stored:
    """Read a file; raises SettingsError for one that is no TOML, or holds what `develop` does not know."""
    try:
        text = path.read_text("utf-8")
        told = documents.from_toml(text)
    except OSError as error:
        raise SettingsError(f"{path}: cannot be read ({error.strerror}); check its permissions") from error
    except ValueError as error:
        raise SettingsError(f"{path}: is no TOML ({error}); mend it there") from error
    named = told.pop("preset", {})
    if not isinstance(named, dict) or not all(isinstance(table, dict) for table in named.values()):
        raise SettingsError(f"{path}:{_line(text, '', 'preset')}: preset is no table; write [preset.NAME]")
    return Stored(
        _checked(path, text, "", told, keys),
        {name: _checked(path, text, f"preset.{name}", table, keys) for name, table in named.items()},
    )


def _tables(files: Iterable[str], preset: str | None, keys: Mapping[str, str]) -> list[Table]:
    """What holds for these photos, what wins last."""
    places = _places(tuple(files))
    stored = [read(path, keys) for path in places]
    tables = [stored[0].defaults] if stored else []
    if preset is None:
        return tables
    for each in stored:
        if preset in each.presets:
            return [*tables, each.presets[preset]]
    names = sorted({name for each in stored for name in each.presets})
    there = f"there are {', '.join(names)}" if names else "there are none"
    near = get_close_matches(preset, names, 1, 0)
    do = f"did you mean {near[0]}?" if near else "make one by --save-preset"
    raise SettingsError(f"--preset {preset}: no such preset, {there}; {do}")


def _places(files: Iterable[str]) -> list[Path]:
    """The files that hold for these photos: the nearest beside or above the first, then the user's."""
    first = Path(next(iter(files), "."))
    while any(sign in str(first) for sign in "*?["):
        first = first.parent
    folder = (first if first.is_dir() else first.parent).absolute()
    beside = [above / FILE for above in (folder, *folder.parents) if (above / FILE).is_file()][:1]
    users = _users()
    return beside + [users] * (users.is_file() and users not in beside)


def _users() -> Path:
    from platformdirs import user_config_path

    return user_config_path("darkroom") / FILE


def _checked(path: Path, text: str, table: str, told: dict[str, object], keys: Mapping[str, str]) -> Table:
    """Refuse keys that are no options, and values of no kind an option takes."""
    values: dict[str, Value] = {}
    places: dict[str, str] = {}
    for key, value in told.items():
        places[key] = where = f"{path}:{_line(text, table, key)}"
        if key not in keys:
            near = get_close_matches(key, keys, 1, 0)[0]
            raise SettingsError(f"{where}: unknown key {key}; did you mean {near}?")
        if keys[key] == "dark":
            value = [str(each) for each in value] if isinstance(value, list) else [str(value)]
        elif isinstance(value, list):
            value = ",".join(str(each) for each in value)
        if not isinstance(value, (str, int, float, list)):
            raise SettingsError(f"{where}: {key} = {value}: is no value of an option; give a text or a number")
        values[key] = _placed(keys[key], value, path.parent)
    return Table(f"{path} [{table}]" if table else str(path), values, places)


def _placed(parameter: str, value: Any, folder: Path) -> Any:
    """Tell from its folder, and whole, what file a value names; all else stays as it is."""
    if parameter == "dark":
        return [os.path.abspath(folder / each) for each in value]
    if parameter == "camera_file" or (parameter == "model" and str(value).endswith(".onnx")):
        return os.path.abspath(folder / str(value))
    return value


def _line(text: str, table: str, key: str) -> int:
    """The line of a key, or of the table it names; the first where it cannot be told."""
    here = ""
    for number, line in enumerate(text.splitlines(), 1):
        if header := re.match(r"\s*\[+\s*([^\]]+?)\s*\]", line):
            here = header[1].replace('"', "").replace("'", "")
            if not table and here.split(".")[0] == key:
                return number
        elif here == table and re.match(rf"""\s*["']?{re.escape(key)}["']?\s*[.=]""", line):
            return number
    return 1


def _plain(value: object) -> object:
    return (
        value
        if isinstance(value, (str, int, float, bool))
        else [str(v) for v in value]
        if isinstance(value, (list, tuple))
        else str(value)
    )


def _listed(values: Mapping[str, object]) -> str:
    return ", ".join(
        f"{key} {str(value).lower() if isinstance(value, bool) else value}" for key, value in values.items()
    )
