"""A run with probes is the run without, bit for bit; its looks are logged and survive a kill."""

from typing import Any

import pytest
import torch

from holdfast.defenses import SecurityVectors
from holdfast.errors import ConfigError
from holdfast.evaluation.drift import Probes, Reading
from holdfast.organism.scenarios import defender_pairs, harmless_prompts
from holdfast.testing.checks import same_run
from holdfast.testing.runs import FULL, SFT_LORA, new_folder, new_trainer
from holdfast.training.steering.watch import DriftWatch
from tests.contract.settings import CONTRACT_SETTINGS
from tests.unit.training.steering.watched import KilledError, probes, watched

SAVING: dict[str, Any] = {"save_strategy": "steps", "save_steps": 2}


def merged_vector() -> SecurityVectors:
    how = {**CONTRACT_SETTINGS["security_vectors"]["merged"], "bilevel_steps": 0, "epochs": 1}
    return SecurityVectors(harmful=defender_pairs(6), benign=harmless_prompts(6), **how)


@pytest.mark.parametrize(
    ("setting", "options"),
    [
        (FULL, {"dropout": 0.3, "gradient_accumulation_steps": 2}),
        (SFT_LORA, {"dropout": 0.3, "logging_steps": 2}),
    ],
)
def test_a_run_with_probes_is_the_run_without(setting: Any, options: dict[str, Any]) -> None:
    bare, _ = watched([], setting, every=None, **options)
    looked, watch = watched([], setting, every=1, **options)
    same_run(looked, bare)
    assert watch is not None
    assert [look.step for look in watch.readings] == [0, 1, 2, 3, 4]


def test_an_attached_vector_is_off_while_the_model_is_looked_at() -> None:
    bare, _ = watched([merged_vector()], every=None)
    looked, watch = watched([merged_vector()])
    same_run(looked, bare)
    assert watch is not None
    served = probes().measured(looked.trainer.model, 4)
    assert watch.readings[-1] == served


def test_the_test_above_would_see_a_probe_that_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    own = Probes.measured

    def draws(self: Probes, *args: Any, **more: Any) -> Reading:
        torch.rand(1)
        return own(self, *args, **more)

    bare, _ = watched([], every=None, dropout=0.3)
    monkeypatch.setattr(Probes, "measured", draws)
    looked, _ = watched([], dropout=0.3)
    with pytest.raises(AssertionError):
        same_run(looked, bare)


def test_a_killed_run_goes_on_with_the_looks_it_had_taken() -> None:
    whole, unbroken = watched([], dropout=0.3, **SAVING)
    folder = new_folder()
    with pytest.raises(KilledError):
        watched([], dropout=0.3, folder=folder, stop_at=3, **SAVING)
    resumed, watch = watched(
        [], dropout=0.3, folder=folder, resume=str(folder / "checkpoint-2"), **SAVING
    )
    assert unbroken is not None
    assert watch is not None
    assert watch.readings == unbroken.readings
    assert all(torch.equal(resumed.weights[name], tensor) for name, tensor in whole.weights.items())


def test_looks_are_in_the_log_beside_the_trainers_own_lines() -> None:
    outcome, watch = watched([], every=2)
    log = outcome.trainer.state.log_history
    assert watch is not None
    assert [row["step"] for row in log if "drift/lead" in row] == [0, 2, 4]
    assert [row["step"] for row in log if "loss" in row] == [1, 2, 3, 4]
    names = {name for row in log for name in row if name.startswith("drift/")}
    assert names == set(watch.readings[0].logged())
    assert {"drift/lead_prefill", "drift/content_nll", "drift/lead_safe"} <= names


@pytest.mark.parametrize("every", [0, -1, 1.5, True])
def test_no_number_of_steps_is_refused(every: Any) -> None:
    with pytest.raises(ConfigError, match="`every="):
        DriftWatch(new_trainer([]), probes(), every)
