"""Whether a model folder is one model, and whether loading it left no gap and no rest."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from holdfast.errors import ModelError

__all__ = ["check_whole", "refuse_both"]


def refuse_both(folder: Path, shown: str) -> None:
    """Raise ``ModelError`` where a folder holds a whole model and an adapter.

    transformers loads the adapter's base then, and not the weights that lie there.
    """
    if not (folder / "adapter_config.json").is_file():
        return
    weights = any(f.name != "adapter_model.safetensors" for f in folder.glob("*.safetensors"))
    if weights or (folder / "config.json").is_file():
        raise ModelError(
            f"{shown}: holds a whole model and an adapter (adapter_config.json), of which only one "
            "would be used: give each a folder of its own"
        )


def check_whole(model: Any, found: Mapping[str, Any], shown: str) -> None:
    """Raise ``ModelError`` unless the weights are just those of the model.

    Args:
        model: What was loaded.
        found: transformers' loading info; tied weights are in none of its lists.
        shown: What errors call the model.
    """
    if getattr(model, "_hf_peft_config_loaded", False):
        raise ModelError(
            f"{shown}: is an adapter or brings one: give its base model, and the adapter apart"
        )
    missing = sorted(found.get("missing_keys") or ())
    if missing:
        # transformers fills gaps with random numbers.
        raise ModelError(
            f"{shown}: its weights lack {len(missing)} tensors, such as {missing[0]}: "
            "the files are incomplete or of another architecture"
        )
    unexpected = sorted(found.get("unexpected_keys") or ())
    if unexpected:
        raise ModelError(
            f"{shown}: its weights hold {len(unexpected)} tensors that the model has no place for, "
            f"such as {unexpected[0]}: config.json tells another model (fewer layers, say), or an "
            "adapter was saved with it (merge it)"
        )
    mismatched: list[Any] = sorted(found.get("mismatched_keys") or ())
    if mismatched:
        name, stored, built = mismatched[0]
        raise ModelError(
            f"{shown}: {len(mismatched)} of its tensors have other shapes than config.json tells, "
            f"such as {name}: {tuple(stored)} in the files and {tuple(built)} by the config: the "
            "files do not belong together; correct config.json, or save the model again"
        )
