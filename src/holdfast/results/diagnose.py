"""What the artifacts of a run say of it, in the form the report reads."""

import json
from collections.abc import Iterable
from dataclasses import asdict
from typing import Any

from holdfast.artifact import Artifact, Block
from holdfast.results.records import Diagnostics

__all__ = ["diagnose"]


def diagnose(artifacts: Iterable[Artifact]) -> dict[str, Diagnostics]:
    """Return each artifact's blocks and values by its defense's name."""
    return {artifact.name: _one(artifact.report) for artifact in artifacts}


def _one(report: dict[str, Any]) -> Diagnostics:
    blocks = {name: asdict(value) for name, value in report.items() if isinstance(value, Block)}
    values = {name: value for name, value in report.items() if name not in blocks}
    # JSON cannot hold NaN and infinity: there, a block has no value.
    finite = json.loads(json.dumps(blocks), parse_constant=lambda _: None)
    return Diagnostics.model_validate({"blocks": finite, "values": values})
