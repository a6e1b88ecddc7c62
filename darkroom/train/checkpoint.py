"""A run's checkpoint: weights, averaged weights and optimiser as safetensors, progress as JSON; never a pickle."""

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from darkroom import documents
from darkroom.errors import DarkroomError


@dataclass
class State:
    """Where a run stands."""

    step: int = 0
    stage: int = -1
    """The stage under way, from 0; -1 before the first."""
    entered: int = 0
    """Step at which that stage began."""
    hours: float = 0.0
    psnr: float = 0.0
    """dB on the validation data, the best so far."""


def save(
    folder: Path, network: nn.Module, average: dict[str, Tensor], optimiser: torch.optim.Optimizer, state: State
) -> None:
    """Write all of it as one file, by rename, so that a kill leaves the old or the new checkpoint; and the JSON beside.

    The JSON is for people: what a run resumes from is the copy inside.
    """
    tensors = {f"weights.{k}": v for k, v in network.state_dict().items()}
    tensors |= {f"average.{k}": v for k, v in average.items()}
    for i, entry in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{i}.{k}": v for k, v in entry.items()}
    progress = json.dumps(asdict(state))
    part = folder / "checkpoint.part"
    try:
        save_file({k: v.contiguous() for k, v in tensors.items()}, part, {"state": progress})
        part.replace(folder / "checkpoint.safetensors")
        (folder / "checkpoint.json").write_text(progress + "\n")
    except (OSError, SafetensorError) as error:
        part.unlink(missing_ok=True)
        raise DarkroomError(
            f"{folder}: the checkpoint of step {state.step} cannot be written ({error}); the last one is kept: "
            "make room, and run the same command again"
        ) from error


def resume(folder: Path, network: nn.Module, average: dict[str, Tensor]) -> State:
    """Load weights and averaged weights in place, if there is a checkpoint; return where the run stood.

    Raises DarkroomError where the checkpoint does not fit the network.
    """
    file = folder / "checkpoint.safetensors"
    if not file.exists():
        return State()
    with _readable(file):
        tensors = load_file(file)
        with safe_open(file, "pt") as opened:
            state = _state(documents.from_json(opened.metadata()["state"]))
    try:
        network.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("weights.")})
        for key in average:
            average[key].copy_(tensors[f"average.{key}"])
    except (RuntimeError, KeyError):
        raise DarkroomError(f"{file}: holds another network's weights; choose another folder") from None
    return state


def resume_optimiser(folder: Path, optimiser: torch.optim.Optimizer) -> None:
    """Load the optimiser's state in place."""
    entries: dict[int, dict[str, Tensor]] = {}
    file = folder / "checkpoint.safetensors"
    with _readable(file):
        for key, value in load_file(file).items():
            if key.startswith("optimiser."):
                _, index, name = key.split(".", 2)
                entries.setdefault(int(index), {})[name] = value
        optimiser.load_state_dict({"state": entries, "param_groups": optimiser.state_dict()["param_groups"]})


@contextmanager
def _readable(file: Path) -> Iterator[None]:
    """Take whatever a damaged file brings about for what it is."""
    try:
        yield
    except (OSError, SafetensorError, LookupError, TypeError, ValueError, RuntimeError) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        raise DarkroomError(
            f"{file}: is damaged ({reason}); put a copy in its place, or take it away and start anew"
        ) from error


def _state(entries: dict[str, object]) -> State:
    """Read where a run stood; ValueError or TypeError for what no run writes."""
    state = State(**entries)  # type: ignore[arg-type]  # checked below
    whole = (state.step, state.stage, state.entered)
    if any(type(number) is not int for number in whole) or not 0 <= state.entered <= state.step or state.stage < -1:
        raise ValueError(f"step {state.step}, stage {state.stage}, entered {state.entered}")
    if not all(isinstance(number, (int, float)) and math.isfinite(number) for number in (state.hours, state.psnr)):
        raise ValueError(f"{state.hours} hours, {state.psnr} dB")
    return state
