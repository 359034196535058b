"""What lies beside a model that was watched, and that its prompts are no questions of a gate.

A stop rule and a controller optimize what they look at. So the prompts that were looked at are
known by their hashes, and a gate refuses a question that is one of them.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from holdfast.errors import DataError
from holdfast.evaluation.drift.probes import Probes, prompt_sha256
from holdfast.evaluation.drift.reading import Reading
from holdfast.files.guarded.documents import json_in
from holdfast.files.whole import write_whole

__all__ = [
    "DRIFT_FILE", "carry_probed", "drift_document", "probed_among", "probed_in", "refuse_probed",
]  # fmt: skip

DRIFT_FILE = "drift.json"
SCHEMA = 1


def drift_document(
    probes: Probes, readings: Sequence[Reading], earlier: Iterable[str] = ()
) -> dict[str, Any]:
    """Return the looks, and the hashes of what was looked at; no prompt and no answer.

    ``earlier`` are hashes of what was looked at when the model itself was made.
    """
    return {
        "schema": SCHEMA,
        "probes_sha256": probes.sha256,
        "openings_sha256": probes.openings.sha256,
        "prompts_sha256": list(dict.fromkeys([*probes.prompts_sha256, *sorted(earlier)])),
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
    known = probed_in(folder)
    return [name for name, messages in questions if prompt_sha256(messages) in known]


def carry_probed(sources: Iterable[Path | None], folder: Path) -> None:
    """Let a model that was made of others know what was looked at when those were tuned.

    Args:
        sources: Folders of the model and the adapter that it was made of.
        folder: Its own; hashes that lie there already stay.
    """
    earlier = sorted({one for source in sources for one in probed_in(source)})
    if not earlier:
        return
    file = folder / DRIFT_FILE
    told: dict[str, Any] = json_in(file) if file.exists() else {"schema": SCHEMA, "looks": []}
    every = dict.fromkeys([*told.get("prompts_sha256", ()), *earlier])
    write_whole(file, json.dumps({**told, "prompts_sha256": list(every)}, indent=1) + "\n")


def probed_in(folder: Path | None) -> set[str]:
    """Return the hashes beside a model; none where it was not watched."""
    file = None if folder is None else folder / DRIFT_FILE
    if file is None or not file.exists():
        return set()
    try:
        return {str(one) for one in json_in(file)["prompts_sha256"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"{file}: cannot be read ({error}), so that it is not known which prompts were looked "
            "at in training; put the file of the tuning run back"
        ) from error


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
