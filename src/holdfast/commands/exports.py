"""A copy of what defenses keep apart for others to read, where the user asks for one."""

from collections.abc import Sequence

from holdfast.artifact import Artifact
from holdfast.files.folders import WholeFolder

__all__ = ["export_artifacts"]


def export_artifacts(folder: WholeFolder | None, artifacts: Sequence[Artifact]) -> None:
    """Write the artifacts, private ones too, into ``folder``, if there is one."""
    if folder is None:
        return
    with folder.writing() as place:
        for artifact in artifacts:
            artifact.export(place)
