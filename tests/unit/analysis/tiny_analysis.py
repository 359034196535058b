"""Prompts of different lengths and a probed tiny model, shared by the analysis' tests."""

import torch

from holdfast.analysis.pipeline import AnalysisSettings, probed_model
from holdfast.analysis.probing.prompts import Prompts, with_tokenizer
from holdfast.ops.modules import projections
from tests.tiny import WORDS, tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import example, lora

SPLIT = ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "opt")
THINGS = WORDS[-14:]
HARMFUL = [
    example(f"{ask} make {'a ' * (n % 4)}{thing}", "sum")
    for n, (ask, thing) in enumerate((a, t) for a in ("how to", "tell me") for t in THINGS)
]
BENIGN = [
    example(f"what is {a} plus {b}{' please' * (a % 3)}", str(a + b))
    for a in range(7)
    for b in range(4)
]


def prompts():
    """The prompts as the tiny tokenizer encodes them."""
    return Prompts.checked(with_tokenizer(tiny_tokenizer()), HARMFUL, BENIGN)


def adapted(model):
    """The model with a LoRA adapter whose product is not zero."""
    return lora(model)


def probed(arch="llama", *, adapter=False, dtype=torch.float32, **settings):
    """A probed tiny model."""
    model = tiny_model(arch).to(dtype)
    model = adapted(model) if adapter else model
    return probed_model(model, prompts(), AnalysisSettings(**{"batch_size": 16, **settings}))


def refs_of(found, *pairs):
    """The modules at (layer, role)."""
    by = {(r.layer, r.role): r for r in found.modules}
    return [by[at] for at in pairs]


def everything_of(model):
    """All that an analysis must leave as it was: weights, flags, gradients, hooks, attributes."""
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    tensors = {name: p.detach().clone() for name, p in model.named_parameters()}
    rest = {
        "flags": {name: p.requires_grad for name, p in model.named_parameters()},
        "grads": {name: p.grad for name, p in model.named_parameters()},
        "training": {name: m.training for name, m in model.named_modules()},
        "hooks": {n: [len(getattr(m, h)) for h in hooks] for n, m in model.named_modules()},
        "forwards": {n: vars(m).get("forward") for n, m in model.named_modules()},
        "projections": [r.name for r in projections(model)],
    }
    return tensors, rest


def same(left, right):
    """Whether two of the above are the same, tensors bit for bit and gradients by identity."""
    tensors = all(torch.equal(left[0][n], right[0][n]) for n in left[0])
    grads = all(left[1]["grads"][n] is g for n, g in right[1]["grads"].items())
    others = all(left[1][k] == right[1][k] for k in left[1] if k != "grads")
    return left[0].keys() == right[0].keys() and tensors and grads and others
