"""Lisa: the turns, the proximal term, and steps that learn from what they should."""

import pytest
import torch
from transformers import TrainerCallback

from holdfast import Lisa
from holdfast.defenses.lisa import proximal_gradient, turn_at
from holdfast.errors import ConfigError, DivergedError
from holdfast.ops.modules import trainable
from tests.tiny import tiny_model
from tests.unit.defenses.tiny_runs import (
    REFUSALS,
    batch_of,
    farthest,
    lora,
    trained,
    trainer_of,
    weights_of,
)

SGD = {"optim": "sgd", "learning_rate": 0.1, "max_grad_norm": 0.0}


def lisa(**options):
    return Lisa(**{"alignment": REFUSALS, "batch_size": 4, "rho": 0.0, **options})


def test_turns_follow_the_cycle():
    turns = [turn_at(n, 2, 3) for n in range(7)]
    assert [t.aligning for t in turns] == [True, True, False, False, False, True, True]
    assert [t.begins for t in turns] == [True, False, True, False, False, True, False]
    assert [t.draw for t in turns if t.aligning] == [0, 1, 2, 3]


def test_the_proximal_gradient_is_the_terms():
    w = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64, requires_grad=True)
    anchor = torch.tensor([0.0, 1.0, 0.5], dtype=torch.float64)
    (0.7 / 2 * (w - anchor).square().sum()).backward()
    found = proximal_gradient({"w": w}, {"w": anchor}, 0.7)["w"]
    assert torch.allclose(found, w.grad)


def by_hand(model, batches, steps, rho, switches):
    """Gradient descent written out: the loss of a batch plus ρ/2‖w − w_s‖² by autograd."""
    params, anchor = trainable(model), weights_of(model)
    for number in range(steps):
        if number in switches:
            anchor = weights_of(model)
        loss = model(**batches[number]).loss
        near = sum((p - anchor[n]).square().sum() for n, p in params.items())
        model.zero_grad()
        (loss + rho / 2 * near).backward()
        with torch.no_grad():
            for p in params.values():
                assert p.grad is not None
                p.sub_(0.1 * p.grad)
    return weights_of(model)


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
def test_a_run_is_descent_on_the_papers_objective(tmp_path, adapted):
    def start():
        return lora(tiny_model()) if adapted else tiny_model()

    trainer = trainer_of(
        tmp_path, [lisa(alignment_steps=2, user_steps=2, rho=0.5)], model=start(),
        max_steps=6, **SGD,
    )  # fmt: skip
    users, own = [], trainer.training_step

    def watching(model, inputs, *args):
        users.append(dict(inputs))
        return own(model, inputs, *args)

    trainer.training_step = watching
    trainer.train()
    aligned = [batch_of(REFUSALS[:4]), batch_of(REFUSALS[4:8]), batch_of(REFUSALS[8:])]
    # The third turn of alignment goes on where the first stopped, and comes round again.
    wanted = [aligned[0], aligned[1], users[2], users[3], aligned[2], aligned[0]]
    expected = by_hand(start(), wanted, 6, 0.5, {0, 2, 4})
    assert farthest(weights_of(trainer.model), expected) <= 1e-5
    assert farthest(weights_of(start()), expected) > 1e-3


def test_a_strong_pull_keeps_a_state_near_its_switch(tmp_path):
    far = {}
    for rho in (0.0, 5.0):
        model = tiny_model()
        start = weights_of(model)
        trained(
            tmp_path, [lisa(alignment_steps=1, user_steps=30, rho=rho)], model=model,
            max_steps=30, **SGD,
        )  # fmt: skip
        far[rho] = farthest(weights_of(model), start)
    assert far[5.0] < 0.5 * far[0.0]


def test_resumed_within_a_state_keeps_the_anchor_of_its_switch(tmp_path):
    options = {"max_steps": 8, "save_strategy": "steps", "save_steps": 5}

    def make():
        return lisa(alignment_steps=1, user_steps=7, rho=2.0)

    whole = trained(tmp_path / "whole", [make()], **options)
    folder = tmp_path / "whole" / "checkpoint-5"
    again = trainer_of(tmp_path / "again", [make()], **options)
    again.train(resume_from_checkpoint=str(folder))
    assert farthest(weights_of(whole.model), weights_of(again.model)) <= 1e-6
    anchors = [t.defenses[0].anchor_ for t in (whole, again)]
    assert farthest(*anchors) == 0
    assert farthest(anchors[0], weights_of(whole.model)) > 0


def test_an_alignment_step_runs_no_pass_of_the_users(tmp_path):
    trainer = trainer_of(
        tmp_path, [lisa(alignment_steps=1, user_steps=3)], per_device_train_batch_size=2,
        gradient_accumulation_steps=2,
    )  # fmt: skip
    rows, passes = [], []
    trainer.model.register_forward_pre_hook(
        lambda _m, _a, given: rows.append(len(given["input_ids"])), with_kwargs=True
    )

    class Watch(TrainerCallback):
        def on_step_end(self, *_, **__):
            passes.append(list(rows))
            rows.clear()

    trainer.add_callback(Watch())
    trainer.train()
    assert passes == [[4], [2, 2], [2, 2], [2, 2]]


def test_figures_are_logged(tmp_path):
    history = trained(tmp_path, [lisa(alignment_steps=1, user_steps=2, rho=0.1)]).state.log_history
    logs = [row for row in history if "loss" in row]
    assert logs[0]["loss"] == pytest.approx(logs[0]["lisa/alignment_loss"], abs=1e-4)
    assert logs[0]["lisa/drift"] == 0
    assert logs[1]["lisa/drift"] == 0  # The first user step stands at the switch.
    assert logs[2]["lisa/drift"] > 0


def test_a_run_that_would_never_learn_the_users_rows_is_refused(tmp_path):
    with pytest.raises(ConfigError, match="never be learned; lower alignment_steps"):
        trained(tmp_path, [lisa(alignment_steps=4)])


def test_a_broken_alignment_loss_names_its_batch(tmp_path):
    model = tiny_model()
    with torch.no_grad():
        next(model.parameters()).fill_(float("nan"))
    with pytest.raises(DivergedError, match="batch 1 of the alignment rows"):
        trained(tmp_path, [lisa(alignment_steps=1)], model=model)


@pytest.mark.parametrize(
    "bad",
    [
        {"rho": -1.0}, {"rho": float("nan")}, {"alignment_steps": 1.5}, {"user_steps": 0},
        {"batch_size": 0}, {"alignment": []}, {"alignment": None},
    ],
)  # fmt: skip
def test_bad_options_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        lisa(**bad).validate()
