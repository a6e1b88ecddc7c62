"""Texts in TOML and JSON that anybody may have written: a ValueError is all that one of them brings about."""

import json
import tomllib
from typing import Any


def from_toml(text: str) -> dict[str, Any]:
    """Read TOML; raises ValueError where it is none, or nested by the thousand."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None


def from_json(text: str | bytes) -> Any:
    """Read JSON; raises ValueError where it is none, in another encoding, or nested by the thousand."""
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deep") from None
