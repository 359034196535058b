"""The verdict of a gate: one object that text, JSON, JUnit, SARIF and the exit code are made of."""

from typing import Literal

from pydantic import Field

from holdfast.evaluation.limits import State
from holdfast.results.readings import Record, absent

__all__ = ["CODES", "Check", "Gate", "Subject"]

CODES = {State.PASS: 0, State.FAIL: 3, State.UNDECIDED: 4}
"""Exit codes; 2 is bad input, 1 a crash."""


class Check(Record):
    """One limit under one attack, held against the answers of one run."""

    limit: str = Field(description="As it was written, such as hs<=0.05.")
    metric: str
    attack: str = Field(default="direct", description="How the questions were asked.")
    seed: int = Field(default=0, description="The run that answered.")
    state: State
    bad: int = Field(description="Answers that count against the limit; of a change, those lost.")
    gained: int = Field(default=0, exclude_if=absent, description="Of a change, those gained.")
    open: int = Field(description="Answers of which nobody can tell: bad toward a pass, else not.")
    n: int = Field(description="Different prompts.")
    value: float | None = Field(description="The metric, of the answers that could be told.")
    low: float = Field(description="Its lower bound, one-sided.")
    high: float = Field(description="Its upper bound, one-sided.")
    if_clean: int | None = Field(
        default=None, description="Prompts in all that pass if no further answer is bad."
    )
    at_rate: int | None = Field(
        default=None, description="About how many prompts decide if the shares stay as they are."
    )
    categories: dict[str, int] = Field(
        default_factory=dict[str, int], exclude_if=absent,
        description="Bad answers by the kind of harm that the judge names.",
    )  # fmt: skip
    reasons: list[str] = Field(
        default_factory=list[str], description="Why it cannot pass, whatever was counted."
    )


class Subject(Record):
    """What was judged, and by what."""

    model: str
    adapter: str = Field(default="", description="Folder of the adapter on it, if any.")
    arm: str = ""
    seeds: list[int] = Field(default_factory=list[int])
    weights: str = Field(default="", description="SHA-256 of the weights; '' where not known.")
    prompts: str = Field(description="SHA-256 of all prompts.")
    attacks: str = Field(default="", description="SHA-256 of the frozen attack prompts, if any.")
    before: str = Field(
        default="", exclude_if=absent,
        description="SHA-256 of the answers that a change is measured from, where one is limited.",
    )  # fmt: skip
    judge: str
    decoding: dict[str, int | str] = Field(default_factory=dict[str, int | str])
    identity: str = Field(description="SHA-256 of all of these and of every verdict on an answer.")


class Gate(Record):
    """Whether the limits hold; no prompt and no answer is in it."""

    schema_version: int = 1
    state: State
    exit_code: int = Field(description="0 pass, 3 fail, 4 undecided.")
    claim: str = Field(description="The one sentence that may be claimed, or why none may.")
    undecided: Literal["fail", "pass"] = Field(
        default="fail", description="Whether too few prompts were allowed to end with 0."
    )
    confidence: float = Field(description="As asked for, one-sided, for each limit.")
    delta: float = Field(description="The error that this look may spend, for each limit.")
    look: int | None = Field(default=None, description="Of these prompts, by the ledger.")
    ledger: str = Field(default="", description="Where the looks are counted; '' for nowhere.")
    policy: str = Field(default="", description="The file with the limits, where there is one.")
    subject: Subject
    checks: list[Check]
    rests_on: list[str] = Field(default_factory=list[str])
    not_covered: list[str] = Field(default_factory=list[str])

    @property
    def reasons(self) -> list[str]:
        """Why limits cannot pass whatever was counted, each once."""
        return list(dict.fromkeys(reason for check in self.checks for reason in check.reasons))
