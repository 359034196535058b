"""A vector in odd runs: restarts, callbacks, other optimizers, adapters and compilers."""

from functools import partial

import pytest
import torch
from peft import LoraConfig, get_peft_model
from torch import nn
from transformers import Trainer, TrainerCallback

from holdfast import Lisa, SecurityVectors, protect
from holdfast.defenses.security_vectors.exactness import use_merged
from holdfast.errors import ConfigError
from holdfast.ops.modules import projections
from holdfast.testing.leaks import check_no_leak
from tests.contract.recipes import data_rows
from tests.contract.runs import (
    FULL,
    LORA,
    SFT_FULL,
    differing,
    gap,
    new_folder,
    new_trainer,
    weights_of,
)
from tests.tiny import tiny_model
from tests.unit.defenses.security_vectors.test_vector_attached import run_of, vector_of

STEPS = {"save_strategy": "steps", "save_steps": 1}


def vector(**options):
    loose = {"lr": 1e-2, "epochs": 2, "rank": 2, "max_harmful_nll": 1e9, "max_benign_kl": 1e9}
    return SecurityVectors(harmful=data_rows(), benign=data_rows(), **{**loose, **options})


def lisa():
    return Lisa(alignment=data_rows(), alignment_steps=1, user_steps=2, rho=0.1, batch_size=3)


# A2: the loop begins again


def full_memory_once(trainer, at):
    """Let the ``at``-th micro-batch of the run say that memory is full."""
    own, count = trainer.training_step, []

    def step(*args, **kwargs):
        count.append(1)
        loss = own(*args, **kwargs)
        if len(count) == at:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1 GiB.")
        return loss

    trainer.training_step = step
    return count


@pytest.mark.parametrize(
    ("defenses", "setting"),
    [
        ([vector], FULL),
        ([partial(vector, attach="hooks")], FULL),
        ([vector], LORA),
        ([lisa, vector], FULL),
    ],
)
def test_a_second_try_begins_like_the_first(defenses, setting):
    """Fault A2: with auto_find_batch_size the vector was attached twice, also in checkpoints."""
    folder, options = new_folder(), {"gradient_accumulation_steps": 2, "max_steps": 3, **STEPS}
    found = {"per_device_train_batch_size": 4, "auto_find_batch_size": True}
    trainer = new_trainer([d() for d in defenses], setting, folder=folder, **found, **options)
    steps = full_memory_once(trainer, 3)
    trainer.train()
    assert len(steps) == 3 + 3 * 2
    other = new_trainer([d() for d in defenses], setting, per_device_train_batch_size=3, **options)
    other.train()
    assert not differing(weights_of(trainer.model), weights_of(other.model))
    check_no_leak(trainer, [folder])


def test_an_optimizer_of_the_users_own_begins_again_as_well():
    """Fault A2: a restart went on with the moments of the first try."""

    def run(size, **options):
        trainer = new_trainer([vector()], per_device_train_batch_size=size, **options)
        trainer.optimizer = torch.optim.AdamW(trainer.model.parameters(), lr=1e-2, weight_decay=0)
        trainer._holdfast.given_optimizer = True
        if options:
            full_memory_once(trainer, 3)
        trainer.train()
        return weights_of(trainer.model)

    assert not differing(run(4, auto_find_batch_size=True), run(3))


# A3: who else looks at the weights


class Spy(TrainerCallback):
    """Saves and copies the model at every event, and lets it answer."""

    def __init__(self, folder):
        self.folder, self.seen, self.logits = folder, [], []

    def _look(self, args, state, control, **kwargs):
        model = kwargs["model"]
        model.save_pretrained(self.folder / f"copy-{len(self.seen)}")
        self.seen.append(weights_of(model))
        with torch.no_grad():
            self.logits.append(model(torch.arange(4)[None]).logits)

    on_pre_optimizer_step = on_optimizer_step = on_step_end = on_save = on_evaluate = _look
    on_train_end = _look


@pytest.mark.parametrize("attach", ["merged", "hooks"])
@pytest.mark.parametrize("setting", [FULL, LORA], ids=str)
def test_callbacks_see_the_served_model(attach, setting):
    """Fault A3: a callback that called model.save_pretrained wrote W + the vector."""
    options = {"eval_strategy": "steps", "eval_steps": 2, "max_steps": 2, **STEPS}
    folder = new_folder()
    trainer = new_trainer([vector(attach=attach)], setting, folder=folder, **options)
    spy = Spy(folder)
    trainer.add_callback(spy)
    trainer.train()
    assert len(spy.seen) == 2 * 4 + 1 + 1
    check_no_leak(trainer, [folder])
    at_end = spy.seen[-1]
    # Each look sees what the next one sees unless a step lies between; the last is what is served.
    assert gap(at_end, weights_of(trainer.model)) == 0
    assert torch.allclose(spy.logits[-2], spy.logits[-1], atol=1e-5)
    unseen = new_trainer([vector(attach=attach)], setting, **options)
    unseen.train()
    assert not differing(weights_of(trainer.model), weights_of(unseen.model))


class Prunes(TrainerCallback):
    """Sets a weight to 0 after every step."""

    def on_step_end(self, *_, model=None, **__):
        with torch.no_grad():
            next(iter(projections(model).values())).weight[0, :4] = 0


@pytest.mark.parametrize("attach", ["merged", "hooks"])
def test_what_a_callback_changes_stays(attach):
    trainer = new_trainer([vector(attach=attach)])
    trainer.add_callback(Prunes())
    trainer.train()
    pruned = next(iter(projections(trainer.model).values())).weight[0, :4]
    assert float(pruned.abs().max()) < 1e-6


class Predicts(TrainerCallback):
    __module__ = "holdfast.test"  # Only holdfast's own callbacks see what is attached.

    def __init__(self, trainer):
        self.trainer, self.found = trainer, {}

    def on_step_end(self, _args, state, *_, model=None, **__):
        rows = self.trainer.train_dataset.select(range(4))
        self.found[state.global_step] = (
            self.trainer.predict(rows).metrics["test_loss"],
            self.trainer.evaluate(rows)["eval_loss"],
        )


@pytest.mark.parametrize("attach", ["merged", "hooks"])
def test_predicting_in_training_measures_what_is_served(attach):
    """Fault A3: trainer.predict() measured the model with the vector on."""
    trainer = new_trainer([vector(attach=attach)])
    looks = Predicts(trainer)
    trainer.add_callback(looks)
    trainer.train()
    assert all(one == other for one, other in looks.found.values())
    rows = trainer.train_dataset.select(range(4))
    assert looks.found[4][0] == pytest.approx(trainer.predict(rows).metrics["test_loss"], abs=1e-5)


class Own(torch.optim.AdamW):
    """An optimizer of somebody's, about which nothing is known."""


class Averages(torch.optim.Optimizer):
    """A tiny schedule-free SGD: it keeps z, trains at y and serves the average x."""

    def __init__(self, params, lr=0.1, beta=0.9):
        super().__init__(params, {"lr": lr})
        self.beta, self.mode, self.count = beta, "eval", 0

    @torch.no_grad()
    def _to(self, mode):
        if mode == self.mode:
            return
        self.mode = mode
        for p, state in self.state.items():
            weight = 1 - 1 / self.beta if mode == "eval" else 1 - self.beta
            p.lerp_(state["z"], weight)

    def train(self):
        self._to("train")

    def eval(self):
        self._to("eval")

    @torch.no_grad()
    def step(self, closure=None):
        assert self.mode == "train"
        self.count += 1
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                z = self.state[p].setdefault("z", p.clone())
                x = p.lerp(z, 1 - 1 / self.beta)
                z.sub_(p.grad, alpha=group["lr"])
                x.lerp_(z, 1 / self.count)
                p.copy_(x.lerp(z, 1 - self.beta))


def optimizers():
    return {
        "sgd": (partial(torch.optim.SGD, lr=0.1, momentum=0.9), True),
        "adam": (partial(torch.optim.Adam, lr=1e-3, eps=1e-5), True),
        "adamw": (partial(torch.optim.AdamW, lr=1e-3, eps=1e-5, weight_decay=0.0), True),
        "adamw-decay": (partial(torch.optim.AdamW, lr=1e-2), False),
        "sgd-decay": (partial(torch.optim.SGD, lr=0.1, weight_decay=0.01), False),
        "asgd": (partial(torch.optim.ASGD, lr=0.1, t0=0), False),
        "own": (partial(Own, lr=1e-2, weight_decay=0.0), False),
        "schedule-free": (Averages, False),
    }


@pytest.mark.parametrize("name", optimizers())
def test_only_a_known_optimizer_gets_merged_weights(name):
    """Fault B3: optimizers= with decay left -.029 of the vector in the served weights.

    Fault A3: an optimizer that keeps weights (ASGD, schedule-free) wrote W + the vector.
    """
    make, exact = optimizers()[name]
    runs = {}
    for attach in ("auto", "hooks"):
        folder = new_folder()
        own = vector(attach=attach)
        trainer = new_trainer([own], folder=folder, max_steps=3, **STEPS)
        trainer.optimizer = make(trainer.model.parameters())
        trainer.train()
        check_no_leak(trainer, [folder])
        runs[attach] = weights_of(trainer.model)
        if attach == "auto":
            assert own.report_["attached"] == ("merged" if exact else "hooks")
    assert gap(runs["auto"], runs["hooks"]) < 1e-5
    trainer = new_trainer([vector(attach="merged")])
    trainer.optimizer = make(trainer.model.parameters())
    if exact:
        trainer.train()
        return
    start = weights_of(trainer.model)
    with pytest.raises(ConfigError, match=r"attach='merged' is not exact here: .*attach='auto'"):
        trainer.train()
    assert not differing(start, weights_of(trainer.model))


def test_decay_on_other_weights_than_the_vectors_is_no_reason_for_hooks():
    """Fault B3: decay was read from the arguments and not from the groups that are stepped."""
    model = tiny_model()
    inside = {id(m.weight) for m in projections(model).values()}
    rest = [p for p in model.parameters() if id(p) not in inside]
    groups = [{"params": [m.weight for m in projections(model).values()], "weight_decay": 0.0},
              {"params": rest, "weight_decay": 0.1}]  # fmt: skip
    assert use_merged(run_of(model, torch.optim.AdamW(groups)), vector_of(model), "auto")
    groups[0]["weight_decay"] = 1e-3
    assert not use_merged(run_of(model, torch.optim.AdamW(groups)), vector_of(model), "auto")


class Penalized(Trainer):
    """Adds a small penalty on the weights to the stock loss."""

    share = 1e-3

    def compute_loss(self, model, inputs, return_outputs=False, **more):
        loss, outputs = super().compute_loss(model, inputs, return_outputs=True, **more)
        loss = loss + self.share * sum(p.pow(2).sum() for p in model.parameters())
        return (loss, outputs) if return_outputs else loss


class Unpenalized(Penalized):
    share = 0.0


@pytest.mark.parametrize(("kind", "how"), [(Penalized, "hooks"), (Unpenalized, "merged")])
def test_a_loss_that_reads_the_weights_gets_hooks(kind, how):
    """Fault B3: a penalty on the weights in a loss of the user's own shrank the merged vector."""
    found = {}
    for attach in ("auto", "hooks"):
        own = vector(attach=attach)
        trainer = protect(new_trainer(None, cls=kind), [own])
        trainer.train()
        found[attach] = weights_of(trainer.model)
        assert own.report_["attached"] == (how if attach == "auto" else "hooks")
    assert gap(found["auto"], found["hooks"]) < 1e-4
    if how == "hooks":
        with pytest.raises(ConfigError, match=r"not exact here: the trainer's own loss .*reads"):
            protect(new_trainer(None, cls=kind), [vector(attach="merged")]).train()


class DecaysLater(TrainerCallback):
    """Sets a decay at the second step."""

    def on_step_begin(self, _args, state, *_, optimizer=None, **__):
        if state.global_step == 1:
            optimizer.param_groups[0]["weight_decay"] = 0.1


@pytest.mark.parametrize(("attach", "setting"), [("auto", FULL), ("hooks", FULL), ("auto", LORA)])
def test_a_decay_that_comes_later_is_no_silent_one(attach, setting):
    """Fault B3: decay that a callback set while training shrank the merged vector."""
    trainer = new_trainer([vector(attach=attach)], setting)
    trainer.add_callback(DecaysLater())
    if attach == "hooks" or setting is LORA:
        trainer.train()
        return
    with pytest.raises(ConfigError, match=r"weight decay of 0\.1 .*attach='hooks'"):
        trainer.train()
    assert trainer.state.global_step == 1
    assert not trainer.optimizer.optimizer._optimizer_step_pre_hooks


class Thaws(TrainerCallback):
    """Freezes the projections while the first steps run, and again after the third."""

    def on_train_begin(self, *_, model=None, **__):
        for linear in projections(model).values():
            linear.weight.requires_grad_(False)

    def on_step_begin(self, _args, state, *_, model=None, **__):
        for linear in projections(model).values():
            linear.weight.requires_grad_(state.global_step in (1, 2))


def test_what_is_trained_only_for_a_while_is_not_lost():
    """Fault B3: weights that a callback thawed after the vector was merged went back at the end."""
    found = {}
    for attach in ("auto", "hooks"):
        trainer = new_trainer([vector(attach=attach)])
        trainer.add_callback(Thaws())
        start = weights_of(trainer.model)
        trainer.train()
        found[attach] = weights_of(trainer.model)
        name = next(iter(projections(trainer.model))).name
        assert not found[attach][f"{name}.weight"].equal(start[f"{name}.weight"])
    assert gap(found["auto"], found["hooks"]) < 1e-4


# B12: optimizers with modes


@pytest.mark.parametrize("setting", [FULL, LORA], ids=str)
def test_evaluating_with_a_schedule_free_optimizer_changes_nothing(setting):
    """Fault B12: with a vector attached, an evaluation in between changed the training."""
    found = []
    for options in ({}, {"eval_strategy": "steps", "eval_steps": 1, **STEPS}):
        trainer = new_trainer([vector()], setting, **options)
        mine = [p for p in trainer.model.parameters() if p.requires_grad]
        trainer.optimizer = Averages(mine)
        trainer.train()
        trainer.optimizer.train()
        found.append(weights_of(trainer.model))
    assert not differing(*found)


def test_a_checkpoint_of_a_schedule_free_optimizer_holds_the_served_average():
    """Fault B12: serving the model left the optimizer in the mode of training."""
    trainer = new_trainer([vector()], max_steps=3, folder=new_folder(), **STEPS)
    trainer.optimizer = optimizer = Averages(trainer.model.parameters())
    modes = []

    class Look(TrainerCallback):
        def on_step_end(self, *_, **__):
            modes.append(optimizer.mode)

    trainer.add_callback(Look())
    trainer.train()
    assert modes == ["eval"] * 3


# B2: adapters that measure the weight


class Renormalized(nn.Linear):
    """A layer of somebody's whose weight is made anew in every pass."""

    def forward(self, x):
        return nn.functional.linear(x, nn.functional.normalize(self.weight, dim=1))


def adapted(**options):
    given = {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"]}
    return get_peft_model(tiny_model(), LoraConfig(**given, task_type="CAUSAL_LM", **options))


def weight_normed():
    model = tiny_model()
    for linear in projections(model).values():
        nn.utils.parametrizations.weight_norm(linear)
    return model


def renormalized():
    model = tiny_model()
    for linear in projections(model).values():
        linear.__class__ = Renormalized
    return model.requires_grad_(False)


@pytest.mark.parametrize(
    ("make", "exact"),
    [
        (adapted, True),
        (partial(adapted, use_rslora=True), True),
        (partial(adapted, lora_bias=True), True),
        (partial(adapted, init_lora_weights="pissa"), True),
        (partial(adapted, use_dora=True), False),
        (weight_normed, False),
        (renormalized, False),
    ],
)
def test_a_vector_is_merged_only_where_the_layer_just_adds(make, exact):
    """Fault B2: under DoRA a merged vector moved the logits by .26 of its effect of .45."""
    model = make()
    change = vector_of(model)
    run = run_of(model, torch.optim.SGD([p for p in model.parameters() if p.requires_grad] or
                                        [nn.Parameter(torch.zeros(1))]))  # fmt: skip
    assert use_merged(run, change, "auto") is exact
    if not exact:
        with pytest.raises(ConfigError, match="not exact here"):
            use_merged(run, change, "merged")


def test_dora_users_train_with_hooks():
    """Fault B2: attach=auto merged the vector under DoRA."""
    own = vector()
    trainer = new_trainer([own], SFT_FULL, max_steps=2)
    trainer.model = trainer.model_wrapped = adapted_organism(trainer.model, use_dora=True)
    trainer.train()
    assert own.report_["attached"] == "hooks"


def adapted_organism(model, **options):
    given = {"r": 2, "lora_alpha": 4, "target_modules": ["q_proj", "v_proj"]}
    return get_peft_model(model, LoraConfig(**given, task_type="CAUSAL_LM", **options))


# B13: compiled models


@pytest.mark.parametrize("what", ["model", "in place", "layer", "forward"])
def test_hooks_on_a_compiled_model_are_refused(what):
    """Fault B13: a process that had compiled the class before passed over the vector's hooks."""
    trainer = new_trainer([vector(attach="hooks")])
    model = trainer.model
    if what == "in place":
        model.compile(backend="eager")
    elif what == "layer":
        model.model.layers[1].compile(backend="eager")
    elif what == "forward":
        model.model.layers[0].forward = torch.compile(
            model.model.layers[0].forward, backend="eager"
        )
    else:
        trainer.model = trainer.model_wrapped = torch.compile(model, backend="eager")
    start = weights_of(model)
    with pytest.raises(ConfigError, match=r"the model is compiled.*torch_compile"):
        trainer.train()
    assert not differing(start, weights_of(model))


@pytest.mark.slow  # It imports the compiler.
@pytest.mark.parametrize(("attach", "refused"), [("hooks", True), ("auto", False)])
def test_torch_compile_needs_a_merged_vector(attach, refused):
    """Fault B13: with torch_compile the hooks of a vector may never be called."""
    options = {"torch_compile": True, "torch_compile_backend": "eager", "max_steps": 2}
    own = vector(attach=attach)
    trainer = new_trainer([own], LORA, **options)
    if refused:
        with pytest.raises(ConfigError, match="compiled"):
            trainer.train()
        return
    trainer.train()
    assert own.report_["attached"] == "merged"
