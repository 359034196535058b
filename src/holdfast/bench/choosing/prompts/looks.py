"""The looks at certification prompts: each one is written down before the prompts are asked.

Look k may spend ``delta_k = 6 delta / (pi^2 k^2)``, so that over all looks at the same prompts a
wrong claim is made with probability ``delta`` at most. The ledger is the gate's; it lies beside the
recipe, or beside the output where the recipe came with holdfast.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from holdfast.errors import ConfigError
from holdfast.evaluation import Item
from holdfast.evaluation.limits import delta_at
from holdfast.results.gating.ledger import Ledger, Look, held_ledger, ledger_beside, now

__all__ = ["Looks", "ledger_of"]


def ledger_of(recipe: str, out: Path) -> Path:
    """Return where the looks of a recipe's choices are counted."""
    named = out if out.name else out.absolute()  # "." has no name that another could stand beside.
    return ledger_beside(Path(recipe) if Path(recipe).is_file() else named)


@dataclass(frozen=True)
class Looks:
    """One choice's looks at its certification prompts.

    Attributes:
        path: The ledger.
        questions: That certify.
        delta: Error of all looks together.
    """

    path: Path
    questions: Sequence[Item]
    delta: float

    def check(self) -> None:
        """Find before a search what would stop its look behind it; writes nothing.

        Raises:
            InputError: The ledger is damaged.
            ConfigError: It cannot be written, or is locked by another process.
        """
        try:
            with held_ledger(self.path):
                pass
        except ConfigError as error:
            raise ConfigError(
                f"looks at the prompts are counted beside the recipe, or the output: {error}"
            ) from error

    def begin(self, of: object) -> tuple[int, float]:
        """Note the look that is made of ``of``, JSON values, and return its number and its delta.

        The same look, begun again after it was killed, keeps its number.

        Raises:
            InputError: The ledger is damaged.
            ConfigError: It is locked by another process.
        """
        identity = _sha256(of)
        with held_ledger(self.path) as ledger:
            number = ledger.number(self._asked, identity)
            self._note(ledger, number, identity, {})
        return number, delta_at(number, self.delta)

    def end(self, of: object, verdicts: dict[str, str]) -> None:
        """Write down what the look came to."""
        identity = _sha256(of)
        with held_ledger(self.path) as ledger:
            self._note(ledger, ledger.number(self._asked, identity), identity, verdicts)

    def _note(self, ledger: Ledger, number: int, identity: str, verdicts: dict[str, str]) -> None:
        look = Look(
            number=number, identity=identity, prompts=_sha256(sorted(self._asked)),
            delta=delta_at(number, self.delta), created=now(), verdicts=verdicts,
        )  # fmt: skip
        ledger.with_look(self._asked, look).save(self.path)

    @property
    def _asked(self) -> list[str]:
        """What tells the prompts, as the gate does it."""
        told = ([q.kind, " ".join(q.question.casefold().split())] for q in self.questions)
        return [_sha256(one)[:16] for one in told]


def _sha256(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
