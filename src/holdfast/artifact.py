"""What a defense leaves behind: tensors and documents, kept apart from the model's weights."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor


@dataclass(frozen=True)
class Artifact:
    """Files of one defense, and what of it a report shows."""

    name: str
    """Folder name: the defense's name."""
    tensors: dict[str, dict[str, Tensor]] = field(default_factory=dict[str, dict[str, Tensor]])
    """Relative file name without suffix → tensors, saved as ``.safetensors``."""
    documents: dict[str, Any] = field(default_factory=dict[str, Any])
    """Relative file name without suffix → JSON value, saved as ``.json``."""
    report: dict[str, Any] = field(default_factory=dict[str, Any])
    """JSON value that the report reads: frontier, gate figures, coefficients."""
    private: bool = False
    """True if publishing the files beside the model would undo its safety."""

    def save(self, folder: str | Path) -> Path:
        """Write the files to ``folder/name`` and return that path."""
        target = Path(folder) / self.name
        target.mkdir(parents=True, exist_ok=True)
        for stem, tensors in self.tensors.items():
            path = target / f"{stem}.safetensors"
            path.parent.mkdir(parents=True, exist_ok=True)
            save_file({k: t.detach().cpu().contiguous() for k, t in tensors.items()}, path)
        for stem, document in self.documents.items():
            path = target / f"{stem}.json"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(json.dumps(document, indent=2) + "\n")
        return target


def split_state(state: Mapping[str, Any]) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Split a nested mapping with string keys into tensors (by ``/`` path) and a JSON rest."""
    tensors: dict[str, Tensor] = {}
    rest: dict[str, Any] = {}
    for key, value in state.items():
        if isinstance(value, Tensor):
            tensors[key] = value.detach().cpu().clone().contiguous()
        elif isinstance(value, Mapping):
            below, plain = split_state(value)
            tensors |= {f"{key}/{k}": t for k, t in below.items()}
            rest[key] = plain
        else:
            rest[key] = value
    return tensors, rest


def joined_state(tensors: Mapping[str, Tensor], rest: Mapping[str, Any]) -> dict[str, Any]:
    """Undo ``split_state``."""
    state: dict[str, Any] = json.loads(json.dumps(rest))
    for path, tensor in tensors.items():
        *parents, leaf = path.split("/")
        at = state
        for parent in parents:
            at = at.setdefault(parent, {})
        at[leaf] = tensor
    return state


def save_state(folder: Path, stem: str, state: Mapping[str, Any]) -> None:
    """Write a state as ``stem.safetensors`` and ``stem.json``; no pickle."""
    tensors, rest = split_state(state)
    folder.mkdir(parents=True, exist_ok=True)
    save_file(tensors, folder / f"{stem}.safetensors")
    (folder / f"{stem}.json").write_text(json.dumps(rest) + "\n")


def load_state(folder: Path, stem: str) -> dict[str, Any]:
    """Read what ``save_state`` wrote."""
    rest = json.loads((folder / f"{stem}.json").read_text())
    return joined_state(load_file(folder / f"{stem}.safetensors"), rest)
