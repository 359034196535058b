"""``RunResult``: the one file that tune, demo and bench write, and all that a report reads.

The schema is versioned. A file of a newer version is refused, one of an older version is read as of
this one; within a version, fields are only added with a default.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypedDict

from pydantic import Field, JsonValue, ValidationError

from holdfast.errors import InputError
from holdfast.files.guarded.documents import json_in
from holdfast.files.kinds import refuse_other_kind
from holdfast.files.whole import refuse_newer, write_whole
from holdfast.results.agreement import Agreement, agreements
from holdfast.results.benchmarks import Benchmarks
from holdfast.results.comparisons import BenchSummary
from holdfast.results.costs import ratios, time_ratio
from holdfast.results.gating.records import Gate
from holdfast.results.provenance import DataSource, Machine, this_machine, versions
from holdfast.results.records import BEFORE, Arm, Record, plain_of
from holdfast.results.redteam.records import RedTeam
from holdfast.results.sound.whole import first_fault, first_no_number

__all__ = ["SCHEMA_VERSION", "Row", "RunResult"]

SCHEMA_VERSION = 2
"""2: blocks of the defenses instead of a frontier, coefficients and a gate."""


class Row(TypedDict):
    """One arm's means over seeds, as ``holdfast demo --json`` prints them."""

    scenario: str
    p: float | None
    defense: str
    seeds: int
    hs: float | None
    hs_content: float | None
    over_refusal: float | None
    fa: float | None
    usefulness: float | None
    relative_time: float | None


class RunResult(Record):
    """Everything a run has measured, and what it takes to run it again."""

    schema_version: int = SCHEMA_VERSION
    command: str = Field(description="Which command wrote it: demo, tune, repair, bench.")
    model: str = Field(default="", description="Folder or hub id of the model, or 'organism'.")
    real_model: bool = Field(
        default=True, description="Harmful prompts and answers are real: redact them in reports."
    )
    created: str = Field(default="", description="UTC, ISO 8601.")
    config: dict[str, JsonValue] = Field(default_factory=dict[str, JsonValue])
    seeds: list[int] = Field(default_factory=list[int])
    data: list[DataSource] = Field(default_factory=list[DataSource])
    versions: dict[str, str] = Field(default_factory=dict[str, str])
    machine: Machine | None = None
    seconds: float | None = Field(default=None, description="Wall clock of the whole command.")
    peak_memory_gib: float | None = None
    arms: list[Arm] = Field(default_factory=list[Arm])
    agreement: list[Agreement] = Field(
        default_factory=list[Agreement],
        description="How far the first judge agrees with each other one; [] for a single judge.",
    )
    warnings: list[str] = Field(default_factory=list[str])
    benchmarks: Benchmarks | None = Field(
        default=None,
        exclude_if=lambda found: found is None,
        description="What another evaluation program measured, such as lm-eval.",
    )
    gate: Gate | None = Field(
        default=None,
        exclude_if=lambda found: found is None,
        description="Whether the limits of a release hold, where there are any.",
    )
    red_team: RedTeam | None = Field(
        default=None,
        exclude_if=lambda found: found is None,
        description="What attacks on the model found.",
    )
    bench: BenchSummary | None = Field(
        default=None, description="What the arms of a bench say together, from their answers."
    )

    @classmethod
    def of(cls, command: str, arms: Sequence[Arm], **rest: Any) -> "RunResult":
        """Return the result with versions, machine, time and paired differences filled in.

        ``rest`` are the remaining fields.

        Raises:
            InputError: Arms did not answer the same items.
        """
        result = cls.model_validate({
            "command": command, "arms": list(arms), "agreement": agreements(arms),
            "versions": versions(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": this_machine({run.machine for arm in arms for run in arm.runs}),
            "seeds": sorted({seed for arm in arms for seed in arm.seeds}), **rest,
        })  # fmt: skip
        return result.model_copy(update={"arms": [result._compared(arm) for arm in result.arms]})

    def plain(self, arm: Arm) -> Arm | None:
        """Return the plain fine-tuning that ``arm`` is compared with, if it was run."""
        return plain_of(arm, self.arms)

    def relative_time(self, arm: Arm) -> float | None:
        """Return the mean over shared seeds of time / plain time; plain itself is 1.0."""
        plain = self.plain(arm)
        if plain is None:
            return None
        found = ratios(arm.runs, plain.runs, time_ratio)
        return sum(found) / len(found) if found else None

    def without_answers(self) -> "RunResult":
        """Return the result without raw answers: every figure, interval and difference stays."""

        def bare(arm: Arm) -> Arm:
            runs = [run.without_answers() for run in arm.runs]
            return arm.model_copy(update={"runs": runs})

        return self.model_copy(update={"arms": [bare(arm) for arm in self.arms]})

    def rows(self) -> list[Row]:
        """Return one row for each fine-tuned arm; the untouched model has none."""
        return [self._row(arm) for arm in self.arms if arm.defense != BEFORE]

    def save(self, path: str | Path) -> Path:
        """Write the result as JSON, whole or not at all, and return its path.

        Raises:
            RunError: The file cannot be written.
        """
        target = Path(path)
        write_whole(target, self.model_dump_json(indent=1) + "\n")
        return target

    @classmethod
    def load(cls, path: str | Path) -> "RunResult":
        """Read a result that ``save`` has written.

        Raises:
            InputError: The file is missing, is not a result, has a newer schema, or says what
                cannot be: a share above 1, an answer twice, counts that its answers do not have.
        """
        source = Path(path)
        document = _read(source)
        refuse_other_kind(source, document, "result.json")
        given = document.get("schema_version")
        if not isinstance(given, int) or isinstance(given, bool) or given < 1:
            raise InputError(
                f"{source} is no holdfast result: it has no schema_version; give a result.json"
            )
        refuse_newer(source, given, SCHEMA_VERSION)
        if (where := first_no_number(document)) is not None:
            raise InputError(f"{source} is damaged at {where}: no number; run the command again")
        try:
            found = cls.model_validate({**document, "schema_version": SCHEMA_VERSION})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "top level"
            raise InputError(
                f"{source} is damaged at {where}: {first['msg']}; run the command again"
            ) from error
        if fault := first_fault(found.arms, found.data, found.red_team):
            raise InputError(
                f"{source} is damaged at {fault[0]}: {fault[1]}; run the command again"
            )
        return found

    def _compared(self, arm: Arm) -> Arm:
        """Return ``arm`` with its differences to plain fine-tuning."""
        plain = self.plain(arm)
        return arm if plain is None or not arm.defenses else arm.compared_with(plain)

    def _row(self, arm: Arm) -> Row:
        """Return one arm's means."""
        return Row(
            scenario=arm.scenario, p=arm.p, defense=arm.defense, seeds=len(arm.runs),
            hs=arm.mean("hs"), hs_content=arm.mean("hs_content"),
            over_refusal=arm.mean("over_refusal"), fa=arm.mean("fa"),
            usefulness=arm.mean("usefulness"), relative_time=self.relative_time(arm),
        )  # fmt: skip


def _read(source: Path) -> Mapping[str, Any]:
    """Return the JSON object in ``source``."""
    try:
        document = json_in(source)
    except OSError as error:
        said = f"{source} cannot be read: {error.strerror}; give a result.json"
        raise InputError(said) from error
    except ValueError as error:
        said = f"{source} is not a whole JSON file ({error}); run the command again"
        raise InputError(said) from error
    if not isinstance(document, dict):
        raise InputError(f"{source} is no holdfast result: expected a JSON object")
    return document
