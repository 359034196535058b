"""What the artifacts of a run say of it, in the form the report reads."""

from collections.abc import Iterable, Mapping
from typing import Any

from holdfast.artifact import Artifact
from holdfast.results.records import Diagnostics, FrontierPoint, LayerCoefficient

__all__ = ["diagnose"]

_SHOWN_APART = ("frontier", "safety_coefficient", "gate")


def diagnose(artifacts: Iterable[Artifact]) -> dict[str, Diagnostics]:
    """Return each artifact's figures by its defense's name."""
    return {artifact.name: _one(artifact.report) for artifact in artifacts}


def _one(report: Mapping[str, Any]) -> Diagnostics:
    scale = report.get("scale")
    frontier = [
        FrontierPoint(
            scale=point["scale"],
            harmful_loss=point["harmful_loss"],
            harmful_score=point["harmful_exact"],
            task_score=point["task_exact"],
            chosen=point["scale"] == scale,
        )
        for point in report.get("frontier", [])
    ]
    coefficients = [
        LayerCoefficient(
            layer=row["layer"],
            absolute_sum=row["coefficient"],
            rms=row["rms"],
            rms_spread=row.get("rms_std"),
        )
        for row in report.get("safety_coefficient", {}).get("layers", [])
    ]
    rest = {key: value for key, value in report.items() if key not in _SHOWN_APART}
    return Diagnostics(
        frontier=frontier,
        safety_coefficients=coefficients,
        gate=report.get("gate", {}),
        values=rest,
    )
