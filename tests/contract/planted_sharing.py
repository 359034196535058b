"""Broken variants, shares and reports: one fault each, for ``holdfast.testing.sharing``."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import torch

from holdfast.artifact import Artifact, Curve, Sentence, Table
from holdfast.defense import Examples, Shared, Variant
from tests.contract.probes import Planted, card


@dataclass
class Learns(Planted):
    """Learns a factor of its pull from rows and can take it over: the base of the broken ones."""

    rows: Examples | None = None
    pull: float = 1.0
    file: str | None = None
    share_: float = field(default=0.0, init=False)

    card: ClassVar[Any] = card("learns", data=("rows",))
    seeded: ClassVar[bool] = True

    def shared(self):
        if not self.strength or self.file is not None:
            return None
        return Shared(
            "share", self.made_of(), self.learn, self.take, self.learned_from(), self.seeded
        )

    def made_of(self) -> dict[str, Any]:
        return {"pull": self.pull}

    def learned_from(self):
        return self.card.data

    def share(self, run):
        batches = run.batches(self.rows, 2)
        losses = [float(run.engine.loss(batch).detach()) for batch in batches]
        return self.pull * sum(losses) + 0.01 * run.seed

    def learn(self, run, folder):
        (folder / "share.json").write_text(json.dumps(self.share(run)))

    def take(self, folder):
        return replace(self, file=str(folder / "share.json"))

    def before(self, run):
        if self.strength:
            known = self.file is not None
            self.share_ = json.loads(Path(self.file).read_text()) if known else self.share(run)

    def gradient(self, step, backward):
        loss = backward()
        if step.last and self.strength:
            pull = {n: p.detach() for n, p in step.engine.parameters().items()}
            step.engine.add_gradient(pull, self.strength * self.share_ / 10)
        return loss


@dataclass
class SpacesInLabel(Planted):
    def variant(self):
        return Variant("at random")


@dataclass
class ParensInLabel(Planted):
    def variant(self):
        return Variant("(random)", control=True)


@dataclass
class ControlByData(Learns):
    def variant(self):
        return Variant(control=not self.rows or not self.strength)


@dataclass
class WinsAtZero(Planted):
    def variant(self):
        return Variant()


@dataclass
class WinsAsControl(Planted):
    """Its card says that it is a control."""

    def variant(self):
        return Variant(control=self.strength == 0)


@dataclass
class NoVariant(Planted):
    def variant(self):
        return "random"


@dataclass
class ForgetsPull(Learns):
    def made_of(self):
        return {}


@dataclass
class ForgetsRows(Learns):
    def learned_from(self):
        return ()


@dataclass
class NoJson(Learns):
    def made_of(self):
        return {"pull": (self.pull,)}


@dataclass
class StrangeRows(Learns):
    def learned_from(self):
        return ("rows", "others")


@dataclass
class SpacedKind(Learns):
    def shared(self):
        found = super().shared()
        return found and replace(found, kind="a share")


@dataclass
class SharesAtZero(Learns):
    def shared(self):
        return Shared("share", self.made_of(), self.learn, self.take, ("rows",))


@dataclass
class LearnsAgain(Learns):
    def shared(self):
        found = replace(self, file=None)
        return (
            Shared("share", {"pull": self.pull}, found.learn, self.take) if self.strength else None
        )


@dataclass
class TakesStronger(Learns):
    def take(self, folder):
        return replace(super().take(folder), strength=2 * self.strength)


@dataclass
class WritesRounded(Learns):
    def learn(self, run, folder):
        (folder / "share.json").write_text(json.dumps(round(self.share(run))))


@dataclass
class WritesNothing(Learns):
    def learn(self, run, folder):
        self.share(run)


@dataclass
class DrawsGlobally(Learns):
    def share(self, run):
        return super().share(run) + float(torch.rand(1))


@dataclass
class HangsOnTheState(Learns):
    """Looks at the global random state and leaves it as it is."""

    def share(self, run):
        return super().share(run) + float(torch.get_rng_state().float().mean())


@dataclass
class SeedForgotten(Learns):
    seeded: ClassVar[bool] = False


@dataclass
class MovesTheModel(Learns):
    def learn(self, run, folder):
        run.engine.edit({n: p.detach() for n, p in run.engine.parameters().items()}, 1e-3)
        super().learn(run, folder)


@dataclass
class Reports(Planted):
    """Reports one block of each kind and a value."""

    def report(self) -> dict[str, Any]:
        return {
            "norm": 1.0,
            "way": Curve("The <way>", "step", (0.0, 1.0), {"distance": (0.0, float("nan"))}),
            "parts": Table("The parts", ("part", "size"), (("left", 1),)),
            "found": Sentence("The finding", "It pulls."),
        }

    def after(self, run):
        return Artifact(self.card.name, report=self.report())


@dataclass
class ReportsTensor(Reports):
    def report(self):
        return {"direction": torch.ones(2)}


@dataclass
class ReportsHiddenBlock(Reports):
    def report(self):
        return {"all": [Sentence("The finding", "It pulls.")]}


@dataclass
class Untitled(Reports):
    def report(self):
        return {"found": Sentence(" ", "It pulls.")}


@dataclass
class TitledTwice(Reports):
    def report(self):
        return {name: Sentence("The finding", name) for name in "ab"}
