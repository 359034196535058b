"""A trainer under DeepSpeed: what is not exact is refused before step 0.

A stand-in has accelerate's attributes. The real package, where it is installed, runs in the engine
matrix (``tests/engines/under_deepspeed.py``).
"""

from types import SimpleNamespace

import pytest
import torch
from accelerate.utils import DistributedType

from holdfast.defense import Capability
from holdfast.errors import ConflictError
from holdfast.training.compose import refuse_missing
from holdfast.training.distributed.engines import engine_for
from tests.contract.recipes import recipes

RECIPES = {recipe.label: recipe for recipe in recipes()}


def under(**config):
    accelerator = SimpleNamespace(
        num_processes=1,
        distributed_type=DistributedType.DEEPSPEED,
        state=SimpleNamespace(deepspeed_plugin=SimpleNamespace(deepspeed_config=config)),
    )
    args, model = SimpleNamespace(n_gpu=1, fsdp=None, deepspeed=config), torch.nn.Linear(2, 2)
    return SimpleNamespace(
        accelerator=accelerator, args=args, model=model, compute_loss_context_manager=None
    )


@pytest.mark.parametrize(
    "label",
    ["panacea-post-hoc", "security_vectors-auto", "lisa", "swat-fresh", "vaccine", "ml_lr-robust"],
)
def test_a_defense_that_is_not_exact_is_refused(label):
    missing = dict(engine_for(under(zero_optimization={"stage": 2})).missing)
    with pytest.raises(ConflictError, match=r"DeepSpeed .*fsdp_version: 2"):
        refuse_missing([RECIPES[label]()], missing)


def test_the_engine_reads_the_trainers_deepspeed_configuration():
    missing = engine_for(under(optimizer={"type": "AdamW"})).missing
    assert "names its own optimizer" in missing[Capability.LEARNING_RATES]
    assert Capability.EXTRA_BACKWARD in missing
