"""Steering a defense: gains of 0 are the static run, a killed run goes on, controls differ."""

from typing import Any

import pytest
import torch

from holdfast.defenses import ConstrainedSFT, Lisa, Panacea, SafeMixing, SecurityVectors
from holdfast.errors import ConfigError
from holdfast.evaluation.drift import Reading
from holdfast.organism.scenarios import defender_pairs, refusal_pairs
from holdfast.testing.checks import same_run
from holdfast.testing.runs import FULL, SFT_LORA, differing, new_folder
from holdfast.training.steering.steer import Steer
from holdfast.training.steering.steerable import Steerable
from tests.unit.training.steering.watched import KilledError, watched

SAVING: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2, "max_steps": 6}


def mixing() -> Steerable:
    return SafeMixing(safe=refusal_pairs(8, seed=1), share=0.25)


def lisa() -> Steerable:
    return Lisa(alignment=refusal_pairs(8, seed=1), alignment_steps=1, user_steps=2, batch_size=3)


def panacea() -> Steerable:
    return Panacea(harmful=defender_pairs(6), mode="in-loop", rho=0.1, lam=0.1, batch_size=3)


def constrained() -> Steerable:
    return ConstrainedSFT(batch_size=5)


MAKERS = [mixing, lisa, panacea, constrained]


def steered(make: Any, gain: float, **options: Any) -> tuple[Any, Steer]:
    """Train with a controller whose target is far above any lead."""
    defense = make()
    steer = Steer(defense, target=50.0, kp=gain, ki=gain)
    outcome, _ = watched([defense], acting=[steer], **options)
    return outcome, steer


@pytest.mark.parametrize("make", MAKERS)
def test_gains_of_zero_are_the_static_defense_bit_for_bit(make: Any) -> None:
    static, _ = watched([make()], every=None, max_steps=6)
    held, steer = steered(make, 0.0, max_steps=6)
    same_run(held, static)
    assert len(set(steer.values)) == 1


@pytest.mark.parametrize("make", MAKERS)
def test_a_steered_run_differs_and_a_killed_one_goes_on_exactly(make: Any) -> None:
    static, _ = watched([make()], every=None, max_steps=6)
    whole, steer = steered(make, 1.0, dropout=0.3, **SAVING)
    assert steer.values == sorted(steer.values)
    assert steer.values[-1] > steer.values[0]
    assert differing(whole.weights, static.weights)
    folder = new_folder()
    with pytest.raises(KilledError):
        steered(make, 1.0, dropout=0.3, folder=folder, stop_at=3, **SAVING)
    resumed, again = steered(
        make, 1.0, dropout=0.3, folder=folder, resume=str(folder / "checkpoint-2"), **SAVING
    )
    assert not differing(resumed.weights, whole.weights)
    assert again.values == steer.values  # The report's curve is whole.
    assert again.defense.steered_ == steer.defense.steered_


def test_the_strength_is_logged_beside_the_look() -> None:
    outcome, steer = steered(mixing, 1.0)
    logged = [row["drift/strength"] for row in outcome.trainer.state.log_history
              if "drift/strength" in row]  # fmt: skip
    assert logged == steer.values


def test_rows_that_are_mixed_in_above_the_static_share_weigh_as_rows_would() -> None:
    """One step without Adam: the change is the user's gradient and (s - s0)/(1 + s0) of theirs."""
    plain = {"optim": "sgd", "max_steps": 1, "max_grad_norm": 0.0, "lr_scheduler_type": "constant"}
    found: dict[float, dict[str, torch.Tensor]] = {}
    for share in (0.25, 0.5, 0.75):
        defense = mixing()
        steer = Steer(defense, target=0.0, kp=0.0, ki=0.0)
        steer.goes_on = lambda *_: None  # type: ignore[method-assign]
        defense.steer(share)
        found[share] = watched([defense], FULL, every=None, **plain)[0].weights
    for name, at in found[0.25].items():
        first, second = found[0.5][name] - at, found[0.75][name] - at
        torch.testing.assert_close(second, 2 * first, atol=2e-6, rtol=1e-3)


def test_a_longer_alignment_state_begins_with_a_cycle() -> None:
    defense = lisa()
    assert isinstance(defense, Lisa)
    defense.steer(1.0)

    class At:
        def __init__(self, number: int) -> None:
            self.number = number

    turns = [defense._turn(At(n)) for n in range(3)]  # type: ignore[arg-type]
    defense.steer(2.0)
    turns += [defense._turn(At(n)) for n in range(3, 7)]  # type: ignore[arg-type]
    assert [t.aligning for t in turns] == [True, False, False, True, True, False, False]
    assert [t.draw for t in turns if t.aligning] == [0, 1, 2]


def test_what_cannot_be_steered_is_refused_with_the_reason() -> None:
    with pytest.raises(ConfigError, match="security_vectors cannot be steered"):
        Steer(SecurityVectors(), 1.0)  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="panacea cannot be steered"):
        Steer(Panacea(harmful=defender_pairs(2)), 1.0)
    with pytest.raises(ConfigError, match="safe_mixing cannot be steered"):
        Steer(SafeMixing(share=0.0), 1.0)
    with pytest.raises(ConfigError, match=r"the bounds 0\.001 and 0\.5"):
        Steer(mixing(), 1.0, low=0.001, high=0.5)
    with pytest.raises(ConfigError, match=r"share=7\.0 cannot be steered to"):
        mixing().steer(7.0)


def test_another_object_of_the_defense_is_refused() -> None:
    steer = Steer(mixing(), 1.0)
    with pytest.raises(ConfigError, match="not among the run's defenses"):
        watched([mixing()], acting=[steer])


def test_an_unsteered_defense_keeps_no_state_of_it() -> None:
    assert "steered_" not in mixing().state()
    assert "steered_" not in mixing().config()
    assert not mixing().needs() - mixing().card.needs


def test_a_controller_sees_the_looks_in_order() -> None:
    seen: list[int] = []

    class Notes:
        def goes_on(self, readings: Any, trainer: Any) -> None:
            del readings, trainer

        def saw(self, readings: list[Reading], trainer: Any, control: Any) -> dict[str, float]:
            del trainer, control
            seen.append(readings[-1].step)
            return {}

    watched([], SFT_LORA, acting=[Notes()], every=2)
    assert seen == [0, 2, 4]
