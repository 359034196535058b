"""The papers' claims as data: what each reports, and the test of its shape, from packaged YAML."""

from collections.abc import Iterator, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Literal

from pydantic import ConfigDict, Field, JsonValue, ValidationError, model_validator

from holdfast.errors import ConfigError, nearest
from holdfast.evaluation.metrics import Figure
from holdfast.inputs.yaml_files import mapping_in, text_of
from holdfast.results.records import Record

__all__ = [
    "Apart", "AtEqualAccuracy", "Bound", "Claim", "Differs", "Equals", "Need", "NotWorse", "OnReal",
    "Paper", "Reported", "Selector", "Test", "Trend", "Uneven", "load_claims", "named_in",
]  # fmt: skip

COEFFICIENTS = "safety_coefficient"
"""The curve of claims that were judged before they named one."""


class Selector(Record):
    """Which arm of a result is meant; every knob that is not given is at the scenario's budget."""

    label: str = Field(description="What a reader calls the arm.")
    scenario: str = "harmful_mix"
    p: float = Field(default=0.0, description="Share of harmful rows in the user's data.")
    learning_rate: float | None = None
    steps: int | None = None
    rows: int | None = None
    batch: int | None = Field(default=None, description="Rows of a step; null: the budget's.")
    defenses: list[str] = Field(default_factory=list[str], description="In order; [] is plain.")
    settings: dict[str, dict[str, JsonValue]] = Field(
        default_factory=dict[str, dict[str, JsonValue]],
        description="Hyperparameters that must be these, by the defense's name; others may differ.",
    )
    several: bool = Field(
        default=False, description="Any number of arms may fit; the claim is judged for each."
    )


class Need(Record):
    """A mean without which a test says nothing, such as an attack that works."""

    model_config = ConfigDict(allow_inf_nan=False, strict=True)

    arm: str
    figure: Figure
    at_least: float | None = None
    at_most: float | None = None


class _Test(Record):
    model_config = ConfigDict(allow_inf_nan=False, strict=True)  # Nothing holds against NaN.

    needs: list[Need] = Field(default_factory=list[Need])

    @property
    def arms_named(self) -> list[str]:
        """Every arm that the test reads, its needs aside."""
        named = [getattr(self, key, []) for key in ("arms", "ours", "theirs", "arm", "plain")]
        return [name for one in named for name in ([one] if isinstance(one, str) else one)]


class Differs(_Test):
    """Ours is below (above) theirs by ``smallest`` or more."""

    kind: Literal["difference"]
    figure: Figure
    ours: str
    theirs: str
    towards: Literal["below", "above"]
    smallest: float


class Trend(_Test):
    """A figure rises (falls) along the arms, by ``smallest`` or more from first to last."""

    kind: Literal["trend"]
    figure: Figure
    arms: list[str] = Field(min_length=2)
    towards: Literal["rises", "falls"]
    smallest: float


class Equals(_Test):
    """Ours and theirs are the same within ``margin``."""

    kind: Literal["equivalence"]
    figure: Figure
    ours: str
    theirs: str
    margin: float


class NotWorse(_Test):
    """Ours is worse than theirs by at most ``margin``, at the interval's worse end."""

    kind: Literal["not_worse"]
    figure: Figure
    ours: str
    theirs: str
    margin: float


class Bound(_Test):
    """A figure is at least (at most) ``level``."""

    kind: Literal["bound"]
    figure: Figure
    arm: str
    towards: Literal["at_least", "at_most"]
    level: float


class AtEqualAccuracy(_Test):
    """Our HS is below theirs by ``smallest`` where both have FA of plain less ``drop``."""

    kind: Literal["equal_accuracy"]
    ours: list[str] = Field(min_length=2, description="By rising strength, from strength 0.")
    theirs: list[str] = Field(min_length=2, description="By rising strength, from strength 0.")
    plain: str
    drop: float
    smallest: float


class Uneven(_Test):
    """The largest layer of a curve is above its mean layer by ``smallest`` of it."""

    kind: Literal["uneven"]
    arm: str
    curve: str = Field(default=COEFFICIENTS, description="Name of a report block over layers.")
    smallest: float


class Apart(_Test):
    """The shares of the layers differ by ``smallest`` somewhere from a second model's."""

    kind: Literal["architectures"]
    arm: str
    curve: str = Field(default=COEFFICIENTS, description="Name of a report block over layers.")
    smallest: float


Test = Annotated[
    Differs | Trend | Equals | NotWorse | Bound | AtEqualAccuracy | Uneven | Apart,
    Field(discriminator="kind"),
]


class Reported(Record):
    """Figures as a source gives them."""

    where: str = Field(description="Table, figure or section; says so where we do not know.")
    seeds: int = Field(description="Runs behind each figure.")
    unit: str
    figures: list[dict[str, JsonValue]]


class Claim(Record):
    """One claim, what is reported for it, and the tests that decide it."""

    id: str
    statement: str
    source: Literal["paper", "independent", "secondary", "ours"] = Field(
        description="Stated by the paper; by other authors; relayed by notes; our inference."
    )
    reported: list[Reported]
    needs: list[Need] = Field(default_factory=list[Need], description="Of every test.")
    tests: list[Test] = Field(min_length=1)
    provided: list[Test] = Field(
        default_factory=list[Test], description="Conditions; where unmet, it holds in part."
    )


class OnReal(Record):
    """What a bench of a real model has in place of the organism's arms and tests.

    Settings that suit the organism do nothing elsewhere, and the other way round: so an arm of a
    real model is told by its method, and the statement and what is reported stay the paper's.
    """

    arms: dict[str, dict[str, JsonValue]] = Field(
        default_factory=dict[str, dict[str, JsonValue]],
        description="What differs in an arm's selector, by its name; a new name is a new arm.",
    )
    claims: dict[str, dict[str, JsonValue]] = Field(
        default_factory=dict[str, dict[str, JsonValue]],
        description="Needs, tests or conditions in place of a claim's own, by its id.",
    )


class Paper(Record):
    """A paper's claims and the arms that they are tested on."""

    paper: str
    title: str
    reference: str
    setting: str = Field(description="What the reported figures were measured on.")
    arms: dict[str, Selector]
    claims: list[Claim]
    real: OnReal = Field(default_factory=OnReal, description="What differs on a real model.")

    @property
    def on_real(self) -> "Paper":
        """The same paper as it is judged on a real model; what is not told apart is the same."""
        told = self.model_dump(exclude={"real"}, exclude_unset=True)
        arms = {name: {**told["arms"].get(name, {}), **own} for name, own in self.real.arms.items()}
        claims = [{**claim, **self.real.claims.get(claim["id"], {})} for claim in told["claims"]]
        return Paper.model_validate({**told, "arms": {**told["arms"], **arms}, "claims": claims})

    @model_validator(mode="after")
    def _on_real_as_well(self) -> "Paper":
        """Refuse tests of a claim that is none, and arms that are not described."""
        ids = [claim.id for claim in self.claims]
        for name in (name for name in self.real.claims if name not in ids):
            raise ValueError(f"real: unknown claim {name!r}.{nearest(name, ids)}")
        if self.real.arms or self.real.claims:
            _ = self.on_real
        return self

    @model_validator(mode="after")
    def _known(self) -> "Paper":
        """Refuse ids that repeat and arms that are not described."""
        ids = [claim.id for claim in self.claims]
        twice = sorted(one for one in ids if ids.count(one) > 1)
        if twice:
            raise ValueError(f"claim {twice[0]!r} stands there twice")
        for claim in self.claims:
            for name in (name for name in named_in(claim) if name not in self.arms):
                known, hint = ", ".join(self.arms), nearest(name, self.arms)
                raise ValueError(f"{claim.id}: unknown arm {name!r}, known: {known}.{hint}")
        return self


def named_in(claim: Claim) -> Iterator[str]:
    """Yield the name of every arm that a claim reads; some come twice."""
    yield from (need.arm for need in claim.needs)
    for test in (*claim.tests, *claim.provided):
        yield from test.arms_named
        yield from (need.arm for need in test.needs)


def load_claims(paths: Sequence[Path] | None = None) -> list[Paper]:
    """Return the papers of these files, by default the packaged ones, by name.

    Raises:
        ConfigError: A file cannot be read or is no paper's claims.
    """
    packaged = Path(str(files("holdfast.claims.papers")))
    return [_paper(path) for path in (sorted(packaged.glob("*.yaml")) if paths is None else paths)]


def _paper(path: Path) -> Paper:
    where = f"claims {path}"
    given = mapping_in(text_of(path, where), where)
    try:
        return Paper.model_validate(given)
    except ValidationError as error:
        # A misspelt key is also a missing one; the key that is there is what to look at.
        found = error.errors()
        first = next((one for one in found if one["type"] == "extra_forbidden"), found[0])
        place = ".".join(str(part) for part in first["loc"]) or "top level"
        raise ConfigError(f"{where}: {place}: {first['msg']}") from error
