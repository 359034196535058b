"""A preference loss whose reference is the tuned model itself, its adapter switched off."""

from contextlib import nullcontext
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import Trainer
from transformers.trainer_utils import set_seed
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer
from trl.trainer.sft_trainer import SFTTrainer

from holdfast import Panacea, SecurityVectors, protect
from holdfast.errors import ConflictError
from holdfast.testing.runs import differing, new_trainer, tiny_model, tokenizer, weights_of
from tests.contract.foreign_trainers import _labeled, _pairs, _settings
from tests.contract.recipes import data_rows, recipes
from tests.contract.runs import LORA, SFT_LORA

pytestmark = pytest.mark.thorough  # Many like cases: left out of `make test-fast`.

KINDS = {"dpo": (DPOTrainer, DPOConfig, _pairs), "kto": (KTOTrainer, KTOConfig, _labeled)}
APART = {"ref_model": {"ref_model": True}, "precompute": {"precompute_ref_log_probs": True}}


def adapted(kind, *, ref_model=False, rows=None, **settings):
    """A trainer of LoRA on the tiny model; TRL keeps no copy of it unless it is given one."""
    cls, config, made = KINDS[kind]
    torch.manual_seed(7)
    lora = LoraConfig(r=2, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    return cls(
        model=get_peft_model(tiny_model(), lora),
        ref_model=tiny_model() if ref_model else None,
        args=_settings(config, **settings),
        train_dataset=rows or made(),
        processing_class=tokenizer(),
    )


def vector(**options):
    options = {"epochs": 2, "lr": 0.3, "kl_weight": 0.0, "max_harmful_nll": 1e6} | options
    return SecurityVectors(harmful=data_rows(), batch_size=3, **options)


@pytest.mark.parametrize("kind", KINDS)
def test_a_vector_that_would_stand_in_the_reference_is_refused(kind):
    """The vector was in both passes and cancelled out: the harm was learned as without it."""
    trainer = adapted(kind)
    start = weights_of(trainer.model)
    flags = {n: p.requires_grad for n, p in trainer.model.named_parameters()}
    with pytest.raises(ConflictError, match=r"security_vectors.*reference.*ref_model="):
        protect(trainer, [vector()])
    assert not differing(start, weights_of(trainer.model))
    assert flags == {n: p.requires_grad for n, p in trainer.model.named_parameters()}


@pytest.mark.parametrize("apart", APART)
@pytest.mark.parametrize("kind", KINDS)
def test_a_reference_apart_is_that_of_the_run_without_it(kind, apart):
    """What is logged of the reference at the first step is the model before tuning."""
    margins = []
    for defenses in ([], [vector()]):
        trainer = protect(adapted(kind, **APART[apart]), defenses)
        set_seed(3)
        trainer.train()
        margins.append(trainer.state.log_history[0]["rewards/margins"])
    assert margins[0] == pytest.approx(0.0, abs=1e-6)
    assert abs(margins[1]) > 1e-3


def test_what_attaches_nothing_is_not_refused():
    trainer = protect(adapted("dpo"), [Panacea(harmful=data_rows(), batch_size=3)])
    trainer.train()
    assert trainer.artifacts[0].report["norm"] > 0
    protect(adapted("dpo"), [vector(scale=0.0)])


@pytest.mark.parametrize("off", [True, False])
@pytest.mark.parametrize("setting", [LORA, SFT_LORA], ids=str)
def test_a_loss_of_the_users_own_is_tried(setting, off):
    """Whoever wrote the loss: what it does is looked at, not its name."""

    kind: Any = SFTTrainer if setting == SFT_LORA else Trainer

    class Held(kind):
        def compute_loss(self, model, inputs, return_outputs=False, num_items_in_batch=None):
            outputs = model(**inputs)
            with torch.no_grad(), model.disable_adapter() if off else nullcontext():
                before = model.get_base_model()(**inputs).logits
            loss = outputs.loss + (outputs.logits - before).pow(2).mean()
            return (loss, outputs) if return_outputs else loss

    trainer = new_trainer(None, setting, cls=Held)
    refused = pytest.raises(ConflictError, match="Held takes the model") if off else nullcontext()
    with refused:
        protect(trainer, [vector()])


@pytest.mark.parametrize("off", [True, False])
@pytest.mark.parametrize("setting", [LORA, SFT_LORA], ids=str)
def test_a_loss_given_as_a_function_is_tried_too(setting, off):
    """SFTTrainer's own ``compute_loss`` calls it: the vector in both passes was no word."""
    trainer = new_trainer(None, setting, cls=SFTTrainer if setting == SFT_LORA else Trainer)

    def held(outputs, labels, **_):
        model = trainer.model
        with torch.no_grad(), model.disable_adapter() if off else nullcontext():
            before = model(input_ids=labels.clamp(min=0)).logits
        return (outputs.logits - before).pow(2).mean()

    trainer.compute_loss_func = held
    refused = pytest.raises(ConflictError, match="a copy of the model") if off else nullcontext()
    with refused:
        protect(trainer, [vector()])


def test_what_a_loss_counts_is_of_the_steps_alone():
    """A counter of the user's loss, as a warm-up has one, stood at 1 before step 0."""

    class Counts(SFTTrainer):
        calls = 0

        def compute_loss(self, model, inputs, *args, **kwargs):
            self.calls, self.first = self.calls + 1, True
            return super().compute_loss(model, inputs, *args, **kwargs)

    trainer = new_trainer(None, SFT_LORA, cls=Counts)
    protect(trainer, [vector()])
    assert trainer.calls == 0
    assert not hasattr(trainer, "first")


def test_rows_that_come_as_a_stream_are_tried():
    trainer = adapted("dpo", rows=_pairs().to_iterable_dataset())
    with pytest.raises(ConflictError, match="DPOTrainer takes the model"):
        protect(trainer, [vector()])


@pytest.mark.parametrize("name", ["vaccine", "memory_anchor-kl", "preventative_steering-answers"])
def test_a_stream_of_pairs_has_no_labels_either(name):
    """A KeyError at step 0, or a defense that is refused beside the same rows in a table."""
    [make] = [recipe for recipe in recipes() if recipe.label == name]
    for rows in (_pairs(), _pairs().to_iterable_dataset()):
        trainer = adapted("dpo", ref_model=True, rows=rows)
        with pytest.raises(ConflictError, match="a batch of DPOTrainer has no `input_ids`"):
            protect(trainer, [make()])
