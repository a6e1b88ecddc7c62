"""A run's checkpoint: weights, averaged weights and optimiser as safetensors, progress as JSON; never a pickle."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from darkroom.errors import DarkroomError


@dataclass
class State:
    """Where a run stands."""

    step: int = 0
    stage: int = -1
    """The stage under way, from 0; -1 before the first."""
    entered: int = 0
    """Step at which that stage began."""
    cpu_hours: float = 0.0
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
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "checkpoint.part", {"state": progress})
    (folder / "checkpoint.part").replace(folder / "checkpoint.safetensors")
    (folder / "checkpoint.json").write_text(progress + "\n")


def resume(folder: Path, network: nn.Module, average: dict[str, Tensor]) -> State:
    """Load weights and averaged weights in place, if there is a checkpoint; return where the run stood.

    Raises DarkroomError where the checkpoint does not fit the network.
    """
    file = folder / "checkpoint.safetensors"
    if not file.exists():
        return State()
    tensors = load_file(file)
    try:
        network.load_state_dict({k[8:]: v for k, v in tensors.items() if k.startswith("weights.")})
    except RuntimeError:
        raise DarkroomError(f"{file}: holds another network's weights; choose another folder") from None
    for key in average:
        average[key].copy_(tensors[f"average.{key}"])
    with safe_open(file, "pt") as opened:
        return State(**json.loads(opened.metadata()["state"]))


def resume_optimiser(folder: Path, optimiser: torch.optim.Optimizer) -> None:
    """Load the optimiser's state in place."""
    entries: dict[int, dict[str, Tensor]] = {}
    for key, value in load_file(folder / "checkpoint.safetensors").items():
        if key.startswith("optimiser."):
            _, index, name = key.split(".", 2)
            entries.setdefault(int(index), {})[name] = value
    optimiser.load_state_dict({"state": entries, "param_groups": optimiser.state_dict()["param_groups"]})
