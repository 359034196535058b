"""What lies beside a model that was watched, and that its prompts are no questions of a gate.

A stop rule and a controller optimize what they look at. So the prompts that were looked at are
known by their hashes, and a gate refuses a question that is one of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from holdfast.errors import DataError
from holdfast.evaluation.drift.probes import Probes, prompt_sha256
from holdfast.evaluation.drift.reading import Reading
from holdfast.files.guarded.documents import json_in

__all__ = ["DRIFT_FILE", "drift_document", "probed_among", "refuse_probed"]

DRIFT_FILE = "drift.json"
SCHEMA = 1


def drift_document(probes: Probes, readings: Sequence[Reading]) -> dict[str, Any]:
    """Return the looks, and the hashes of what was looked at; no prompt and no answer."""
    return {
        "schema": SCHEMA,
        "probes_sha256": probes.sha256,
        "openings_sha256": probes.openings.sha256,
        "prompts_sha256": list(probes.prompts_sha256),
        "looks": [asdict(look) for look in readings],
    }


def probed_among(
    folder: Path | None, questions: Iterable[tuple[str, Sequence[Mapping[str, str]]]]
) -> list[str]:
    """Return the ids of the questions that were probes while the model in ``folder`` was tuned.

    Args:
        folder: A model's or an adapter's; none was watched where it holds no such file.
        questions: Id and messages of each.

    Raises:
        DataError: The folder's file cannot be read: then nobody knows.
    """
    file = None if folder is None else folder / DRIFT_FILE
    if file is None or not file.exists():
        return []
    try:
        known = {str(one) for one in json_in(file)["prompts_sha256"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{file}: cannot be read ({error}), so that it is not known which prompts were looked "
            "at in training; put the file of the tuning run back"
        ) from error
    return [name for name, messages in questions if prompt_sha256(messages) in known]


def refuse_probed(
    folders: Iterable[Path | None], questions: Iterable[tuple[str, Sequence[Mapping[str, str]]]]
) -> None:
    """Raise ``DataError`` where a gate would ask what its model's training looked at."""
    asked = list(questions)
    for folder in folders:
        if found := probed_among(folder, asked):
            raise DataError(
                f"{len(found)} of {len(asked)} questions, first {found[0]!r}, were looked at while "
                f"{folder} was tuned: a run is stopped or steered by them, so they cannot test "
                "it; gate with other questions"
            )
