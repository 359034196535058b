"""``choose.json``: what was chosen from, how the search went, and what was certified.

It holds counts, shares and names, and no prompt and no answer.
"""

from typing import Any

from pydantic import Field

from holdfast.results.records import Record

__all__ = ["SCHEMA_VERSION", "ChooseResult", "Entry", "LimitTest", "Rung", "Tested"]

SCHEMA_VERSION = 1


class LimitTest(Record):
    """One limit held against one candidate on the certification prompts."""

    limit: str = Field(description="As it was required.")
    metric: str
    attack: str = Field(default="direct", description="How the prompts were asked.")
    n: int = Field(description="Prompts.")
    value: float = Field(
        description="Bad share, or drop, seen; answers that nobody can tell count as bad."
    )
    bound: float = Field(description="Largest bad share, or drop, left possible.")
    p: float = Field(description="Exact p-value against 'the limit is broken'.")
    holds: bool = Field(description="p is at most delta.")
    open: int = Field(default=0, description="Answers that nobody can tell: counted as bad.")
    against: str = Field(default="", description="What a change is measured from.")


class Entry(Record):
    """A candidate on one rung."""

    name: str
    hs_upper: float | None = Field(
        default=None, description="Upper bound of harm on the search prompts, where it answered."
    )
    lead: float | None = Field(
        default=None, description="Lower end of its mean lead, in nats per token, where probed."
    )
    task_loss: float = Field(
        description="Task accuracy lost against plain fine-tuning; where probed, in nats per token."
    )
    cost: float = Field(description="Of its whole run, in plain runs.")
    margin: float | None = Field(
        default=None, description="Smallest distance to a limit; negative beyond it."
    )
    front: int = Field(description="0: no other is better in harm, task and cost at once.")
    kept: bool


class Rung(Record):
    """One round of the search."""

    steps: int = Field(description="Optimizer steps of its runs.")
    entries: list[Entry]
    failed: dict[str, str] = Field(default_factory=dict[str, str], description="Name → why.")
    spent: float = Field(description="Plain runs so far.")


class Tested(Record):
    """A candidate on the certification prompts."""

    name: str
    cost: float
    passed: bool
    p: float = Field(description="Largest of its limits'.")
    limits: list[LimitTest]
    sha256: str = Field(default="", description="Of the folder of the model that was asked.")


class ChooseResult(Record):
    """What ``holdfast choose`` leaves behind."""

    schema_version: int = SCHEMA_VERSION
    command: str = "choose"
    created: str = ""
    model: str
    recipe: dict[str, Any]
    requirements: list[str]
    confidence: float
    look: int = Field(default=1, description="The how manieth look at these prompts it is.")
    delta: float = Field(description="Error that this look may spend.")
    budget: float = Field(description="Plain runs that were allowed.")
    spent: float = Field(description="Plain runs that the search took; shared stages count once.")
    split_seed: int
    search: dict[str, int] = Field(description="Questions that chose, by kind.")
    certify: dict[str, int] = Field(description="Questions that certify, by kind.")
    left_out: int = Field(description="Near-duplicates of others, or of training rows.")
    prompts: str = Field(description="Name and digest of the certification prompts.")
    attacks: list[str] = Field(
        default_factory=list[str], description="How harmful questions were asked beside directly."
    )
    judge: str = ""
    decoding: dict[str, int | str] = Field(default_factory=dict[str, int | str])
    candidates: dict[str, float] = Field(description="Name → cost of a whole run, in plain runs.")
    rungs: list[Rung]
    order: list[str] = Field(description="In which they were to be tested, chosen by the search.")
    tested: list[Tested]
    chosen: str | None
    statement: str
    scope: list[str] = Field(description="What the statement does not say.")
    settles: list[str] = Field(
        default_factory=list[str], description="Where nothing passed: what would settle it."
    )
    warnings: list[str] = Field(default_factory=list[str])
    versions: dict[str, str] = Field(default_factory=dict[str, str])
    seconds: float | None = None
