"""Learned state of defenses in a checkpoint; what of it is a jailbreak lies apart."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors.torch import save as to_bytes

from holdfast.artifact import load_state, save_state, split_state
from holdfast.defense import Defense
from holdfast.errors import ConfigError
from holdfast.files.private import close_folder

__all__ = ["STATE_FOLDER", "read_states", "write_states"]

STATE_FOLDER = "defenses"


def write_states(
    states: Sequence[tuple[Defense, Mapping[str, Any]]], checkpoint: Path, private_folder: Path
) -> None:
    """Write every defense's state into the checkpoint; private state goes elsewhere.

    The checkpoint keeps only the hash of a private state, which lies in ``private_folder``.
    """
    for defense, learned in states:
        state = dict(learned)
        secret = {k: state.pop(k) for k in sorted(defense.private & state.keys())}
        if any(_holds(value) for value in secret.values()):
            name = f"{defense.card.name}-{_digest(secret)}"
            if not private_folder.parent.exists():
                close_folder(private_folder.parent)
            if not (private_folder / f"{name}.json").exists():
                save_state(private_folder, name, secret, private=True)
            state["private"] = name
        save_state(checkpoint / STATE_FOLDER, defense.card.name, state)


def read_states(defenses: Sequence[Defense], checkpoint: Path, private_folder: Path) -> None:
    """Put what ``write_states`` wrote back into the defenses.

    Raises:
        ConfigError: The checkpoint has no state of a defense, or its private state is missing or
            was changed.
    """
    folder = checkpoint / STATE_FOLDER
    for defense in defenses:
        if not (folder / f"{defense.card.name}.json").exists():
            raise ConfigError(
                f"cannot resume: the checkpoint {checkpoint} was written without "
                f"{defense.card.name}; resume with the same defenses or start anew"
            )
        state = load_state(folder, defense.card.name)
        secret = state.pop("private", None)
        if secret is not None:
            state |= _read_private(defense, str(secret), private_folder)
        defense.load(state)


def _read_private(defense: Defense, name: str, folder: Path) -> dict[str, Any]:
    if not (folder / f"{name}.json").exists():
        raise ConfigError(
            f"cannot resume: {defense.card.name}'s state {name} is kept apart from checkpoints "
            f"and is not in {folder}; give that folder as artifacts_dir="
        )
    state = load_state(folder, name)
    if not name.endswith(_digest(state)):
        raise ConfigError(f"cannot resume: {folder / name} was changed")
    return state


def _holds(value: Any) -> bool:
    """Tell whether there is anything in a private field that could be kept secret."""
    return bool(value) if isinstance(value, Mapping) else value is not None


def _digest(state: Mapping[str, Any]) -> str:
    tensors, _ = split_state(state)
    return hashlib.sha256(to_bytes(tensors)).hexdigest()[:16]
