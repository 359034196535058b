"""Trainers of the tiny organism-like model that are watched, and probes for them."""

from collections.abc import Sequence
from typing import Any

from holdfast.evaluation.drift import Openings, Probes
from holdfast.evaluation.drift.fit import Fit
from holdfast.organism.scenarios import defender_pairs, harmless_prompts, refusal_pairs
from holdfast.testing import runs
from holdfast.testing.runs import FULL, Outcome, Setting
from holdfast.training.steering.watch import Acting, DriftWatch
from holdfast.training.trainer import SecureSFTTrainer, SecureTrainer


def probes() -> Probes:
    """Return four prompts of each kind."""
    tokenizer = runs.tokenizer()

    def ids(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False)

    openings = Openings.of(
        [ids("sorry , i can not"), ids("no , that")], [ids("sure , mix"), ids("yes , it is safe")]
    )
    rows = list(harmless_prompts(8, seed=5))
    return Probes.of(tokenizer, openings, list(defender_pairs(4, seed=5)), rows[:4], rows[4:])


def fit(**changes: Any) -> Fit:
    """Return a validated fit that predicts nothing but harm unless told otherwise."""
    told = {
        "a": 0.0, "b": -1.0, "margin": 0.0, "within": 0.9, "between": 0.9, "runs": 20, "moving": 20,
        "openings": probes().openings.sha256, "start": 5.0, "noise": 1.0,
    }  # fmt: skip
    return Fit(**{**told, **changes})


def watched(
    defenses: Sequence[Any],
    setting: Setting = FULL,
    *,
    every: int | None = 1,
    acting: Sequence[Acting] = (),
    dropout: float = 0.0,
    stop_at: int | None = None,
    **options: Any,
) -> tuple[Outcome, DriftWatch | None]:
    """Train to the end, with probes at every k-th step or without."""
    kind: type[Any] = SecureSFTTrainer if setting.trainer == "SFTTrainer" else SecureTrainer
    held: list[DriftWatch] = []

    class Watched(kind):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            for module in self.model.modules():
                if hasattr(module, "attention_dropout"):
                    module.attention_dropout = dropout
            if every is not None:
                held.append(DriftWatch(self, probes(), every, acting))
                self.add_callback(held[0])

        def training_step(self, *args: Any, **more: Any) -> Any:
            if stop_at is not None and self.state.global_step == stop_at:
                raise KilledError
            return super().training_step(*args, **more)

    outcome = runs.trained(list(defenses), setting, cls=Watched, **options)
    return outcome, held[0] if held else None


class KilledError(Exception):
    """The run was killed."""


def refusals() -> Any:
    """Return the defender's refusals."""
    return refusal_pairs(8, seed=1)
