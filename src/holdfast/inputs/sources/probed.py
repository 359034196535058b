"""Questions that were looked at while the model at hand was tuned: none may stand in a gate."""

from collections.abc import Sequence
from pathlib import Path

from holdfast.evaluation import Item
from holdfast.evaluation.drift.probed import probed_among, refuse_probed
from holdfast.inputs.configs import ModelConfig

__all__ = ["probed_notes"]


def probed_notes(config: ModelConfig, items: Sequence[Item]) -> list[str]:
    """Return a warning where questions were probes of the model's own training.

    Raises:
        DataError: They are limits' questions (``require`` or ``policy``), or nobody can know.
    """
    folders = [Path(config.model), getattr(config, "adapter", None)]
    asked = [(item.id, item.prompt) for item in items]
    if getattr(config, "require", None) or getattr(config, "policy", None):
        refuse_probed(folders, asked)
    found = [name for folder in folders for name in probed_among(folder, asked)]
    if not found:
        return []
    return [
        f"{len(found)} of {len(asked)} questions were looked at while the model was tuned, and a "
        "stop rule or a controller may have held them: ask others before you rely on the figures"
    ]
