"""`darkroom models`: the networks that come with darkroom."""

import json
from dataclasses import asdict

import typer

from darkroom.cli import FAILED, options, say
from darkroom.errors import DarkroomError


def models(as_json: options.Json = False) -> None:
    """List the networks that come with darkroom, each checked against its checksum; exit 1 where one fails.

    \b
    Example:
      darkroom models
    """
    from darkroom.develop import model

    files = model.shipped()
    if not files:
        raise DarkroomError("the shipped networks are missing; install darkroom again")
    whole = {file: model.verify(file) for file in files}
    for file in files:
        try:
            contract, fault = model.read_contract(file), ""
        except DarkroomError as error:
            contract, fault = None, str(error)
        if as_json:
            facts = {"file": str(file), "checksum": whole[file], "error": fault or None}
            say.line(json.dumps(facts | (asdict(contract) if contract else {})))
        elif contract is None:
            say.line(f"{file.stem}  cannot be read: {fault}")
        else:
            verdict = "checksum ok" if whole[file] else "checksum WRONG, install darkroom again"
            say.line(
                f"{contract.name} {contract.version}  {contract.packing} -> {contract.output}"
                f"  up to x{contract.max_ratio:g}  {file.stat().st_size / 1e6:.1f} MB  {contract.licence}  {verdict}"
            )
            say.line(f"    {contract.training}")
    if not all(whole.values()):
        raise typer.Exit(FAILED)
