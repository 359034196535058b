"""A copy of what defenses keep apart for others to read, where the user asks for one."""

from collections.abc import Sequence
from typing import Any

from holdfast.artifact import Artifact
from holdfast.files.folders import WholeFolder

__all__ = ["export_artifacts", "nothing_apart"]


def export_artifacts(folder: WholeFolder | None, artifacts: Sequence[Artifact]) -> None:
    """Write the artifacts, private ones too, into ``folder``, if there are both."""
    if folder is None or not artifacts:
        return
    with folder.writing() as place:
        for artifact in artifacts:
            artifact.export(place)


def nothing_apart(config: Any, artifacts: Sequence[Artifact]) -> list[str]:
    """Return a note on each folder that was asked for and for which no defense made anything."""
    given = [name for name in ("artifacts", "export") if getattr(config, name) is not None]
    return [
        f"`{name}={getattr(config, name)}`: no folder was written, as no defense of this run kept "
        "anything apart from the model"
        for name in given
        if not artifacts
    ]
