"""Extra passes run in the settings of the user's own, and are not counted as such."""

from contextlib import nullcontext

import pytest
import torch

from holdfast import Booster, ConstrainedSFT, Lisa, Panacea, SecurityVectors, Vaccine
from holdfast.ops.engine import LocalEngine
from holdfast.ops.recompute import recomputed
from holdfast.testing.runs import FULL, SFT_LORA, Setting, differing, new_trainer, trained
from tests.contract.recipes import data_rows
from tests.contract.settings import CONTRACT_SETTINGS
from tests.tiny import tiny_model
from tests.unit.defenses.tiny_runs import HARMFUL, USER, batch_of

SFT_FULL = Setting("SFTTrainer")
BATCHES = [batch_of(HARMFUL), batch_of(USER)]


def dropping(recomputes):
    """A model with dropout, in training, its layers recomputed or not."""
    model = tiny_model().train()
    for layer in model.model.layers:
        layer.self_attn.attention_dropout = 0.5
    if recomputes:
        model.activation_checkpointing_enable()
    return model


def layer_runs(model):
    """Count the runs of the first layer's own mathematics."""
    runs = []
    model.model.layers[0].mlp.register_forward_pre_hook(lambda *_: runs.append(1))
    return runs


def test_a_gradient_recomputes_where_training_does():
    """Fault B14: extra passes kept every activation, whatever the user saves."""
    kept, saving = dropping(False), dropping(True)
    one, other = layer_runs(kept), layer_runs(saving)
    state = torch.get_rng_state()
    left, loss = LocalEngine(kept).gradients(BATCHES)
    right, again = LocalEngine(saving).gradients(BATCHES)
    assert (len(one), len(other)) == (2, 4)
    assert loss == again
    assert not differing(left, right)
    assert torch.equal(torch.get_rng_state(), state)
    assert all("forward" not in vars(m) for m in saving.modules())
    assert all(m.training for m in saving.modules())


def test_nothing_is_recomputed_without_a_gradient_or_in_training():
    model = dropping(True)
    runs = layer_runs(model)
    with torch.no_grad(), recomputed(model.eval()):
        model(**BATCHES[0])
    assert len(runs) == 1


@pytest.mark.parametrize("error", [False, True])
def test_a_layer_is_as_it_was_after_an_error(error):
    model = dropping(True)
    own = model.model.layers[0].forward
    model.model.layers[0].forward = own  # As Accelerate leaves a wrapper on an instance.

    def run():
        with recomputed(model):
            if error:
                raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError) if error else nullcontext():
        run()
    assert model.model.layers[0].forward is own
    assert "forward" not in vars(model.model.layers[1])


VECTOR = CONTRACT_SETTINGS["security_vectors"]["hooks"] | {"bilevel_steps": 1}
EVERY = {
    "panacea": lambda: Panacea(harmful=data_rows(), batch_size=3, rho=0.1),
    "booster": lambda: Booster(harmful=data_rows(), batch_size=3, lam=0.5),
    "lisa": lambda: Lisa(alignment=data_rows(), alignment_steps=1, user_steps=1),
    "vectors": lambda: SecurityVectors(harmful=data_rows(), benign=data_rows(), **VECTOR),
}


@pytest.mark.parametrize("kind", EVERY)
def test_recomputing_changes_no_bit_and_reaches_the_extra_passes(kind, monkeypatch):
    """Fault B14: also before step 0, where the trainer has not turned it on yet."""
    calls = []
    monkeypatch.setattr(
        "holdfast.ops.recompute.checkpoint",
        lambda run, *args, use_reentrant, **options: calls.append(1) or
        torch.utils.checkpoint.checkpoint(run, *args, use_reentrant=use_reentrant, **options),
    )  # fmt: skip
    plain = trained([EVERY[kind]()], SFT_LORA, max_steps=2)
    assert not calls
    saving = trained([EVERY[kind]()], SFT_LORA, max_steps=2, gradient_checkpointing=True)
    assert calls
    assert not differing(plain.weights, saving.weights)


def test_passes_before_step_0_run_under_the_users_autocast():
    """Fault B14: `before` ran in float32 where training runs in bfloat16."""
    seen = []
    defense = ConstrainedSFT(batch_size=5)
    trainer = new_trainer([defense], FULL, bf16=True, max_steps=1, learning_rate=0.0)
    layer = trainer.model.model.layers[0].mlp
    layer.register_forward_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    trainer.train()
    assert len(seen) > 3
    assert all(seen)
    # The reference is the model itself, in the same numbers: every weight is 1.
    assert defense.figures_ == {"weight": 1.0, "covered": 1.0}


def test_the_two_passes_of_vaccine_are_counted_once():
    """Fault B14: Vaccine doubled num_tokens."""

    def counted(defenses):
        trainer = new_trainer(defenses, SFT_FULL, learning_rate=0.0, gradient_accumulation_steps=2)
        trainer.train()
        names = ("num_tokens", "entropy", "mean_token_accuracy")
        logs = [row for row in trainer.state.log_history if "loss" in row]
        return [[row[name] for name in names] for row in logs], trainer.state.total_flos

    plain, vaccine = counted([]), counted([Vaccine(rho=0.5)])
    assert vaccine == plain
    assert plain[0][0][0] > 0
