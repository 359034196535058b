"""Weight averaging: closed forms of the average, and that nobody but the served model holds it."""

from contextlib import ExitStack

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from transformers import TrainerCallback

import holdfast
from holdfast import EMA
from holdfast.defense import Run, Step
from holdfast.defenses.ema import averaged, shrunk
from holdfast.errors import ConfigError
from holdfast.ops.engine import LocalEngine
from holdfast.ops.weights import copied
from tests.tiny import tiny_model
from tests.unit.defenses.tiny_runs import (
    HARMFUL,
    REFUSALS,
    farthest,
    lora,
    trained,
    trainer_of,
    weights_of,
)

START, CENTER, CURVE = 3.0, -1.0, 0.5


class Point(nn.Module):
    """One number w, on which the loss is a/2·(w − c)²."""

    def __init__(self) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.tensor([START], dtype=torch.float64))

    def descend(self, rate: float) -> None:
        self.w.data -= rate * CURVE * (self.w.data - CENTER)


def descended(defense: EMA, steps: int, rate: float) -> float:
    """What is served after so many steps of gradient descent on the quadratic."""
    point = Point()
    run = Run(point, LocalEngine(point), list, lambda rows: {}, 0)
    defense.before(run)
    with defense.attached(run):
        for number in range(steps):
            point.descend(rate)
            defense.after_update(Step(run, number, steps))
    return float(point.w.detach())


def test_the_average_is_the_sum_of_what_it_took():
    torch.manual_seed(0)
    start, steps, decay = torch.randn(5).double(), torch.randn(7, 5).double(), 0.8
    average = start
    for weights in steps:
        average = averaged(average, weights, decay)
    terms = [0.2 * decay ** (7 - t) * w for t, w in enumerate(steps, 1)]
    assert torch.allclose(average, decay**7 * start + sum(terms), atol=1e-14)


def test_at_decay_one_the_average_stays_and_at_share_zero_the_start():
    start, weights = torch.randn(50), torch.randn(50)
    assert torch.equal(averaged(start, weights, 1.0), start)
    assert torch.equal(shrunk(start, weights, 0.0), start)


@pytest.mark.parametrize("decay", [0.3, 0.9, 1.0])
def test_on_a_quadratic_it_ends_where_the_closed_form_says(decay):
    rate, steps = 0.4, 9
    q = 1 - rate * CURVE
    both = decay**steps + (1 - decay) * q * (q**steps - decay**steps) / (q - decay)
    found = descended(EMA(decay=decay), steps, rate)
    assert found == pytest.approx(CENTER + (START - CENTER) * both, abs=1e-12)


@pytest.mark.parametrize(("every", "steps"), [(1, 6), (3, 6), (3, 8)])
def test_fed_back_it_is_lookahead_and_ends_where_that_ends(every, steps):
    rate, decay = 0.4, 0.7
    cycle = decay + (1 - decay) * (1 - rate * CURVE) ** every
    wanted = CENTER + (START - CENTER) * cycle ** (steps // every)
    found = descended(EMA(decay=decay, every=every, feedback=True), steps, rate)
    assert found == pytest.approx(wanted, abs=1e-12)


def test_fed_back_at_every_step_it_is_a_smaller_learning_rate():
    slower = descended(EMA(decay=1e-12), 6, (1 - 0.7) * 0.4)
    assert descended(EMA(decay=0.7, feedback=True), 6, 0.4) == pytest.approx(slower, abs=1e-10)


class Keeps(TrainerCallback):
    """Keeps the weights after every step, as somebody else's callback sees them."""

    def __init__(self):
        self.seen = []

    def on_step_end(self, _args, _state, _control, model=None, **_):
        self.seen.append(weights_of(model))


def model_of(tuning):
    return tiny_model() if tuning == "full" else lora(tiny_model())


def way(folder, defenses=(), tuning="full", **options):
    """The start and the weights after every step of a run."""
    model, keeps = model_of(tuning), Keeps()
    start = weights_of(model)
    trainer = trainer_of(folder, defenses, model=model, **options)
    trainer.add_callback(keeps)
    trainer.train()
    return start, keeps.seen


def average_of(start, seen, decay, every=1):
    """The sum, written out in float64."""
    taken = [weights for number, weights in enumerate(seen, 1) if number % every == 0]
    many = len(taken)

    def one(name):
        terms = [decay ** (many - t) * w[name].double() for t, w in enumerate(taken, 1)]
        return decay**many * start[name].double() + (1 - decay) * sum(terms)

    return {name: one(name).float() for name in start}


@pytest.mark.parametrize("every", [1, 2])
@pytest.mark.parametrize("tuning", ["full", "lora"])
def test_a_run_serves_the_average_of_a_plain_ones_weights(tmp_path, tuning, every):
    start, seen = way(tmp_path, tuning=tuning)
    trainer = trained(tmp_path, [EMA(decay=0.6, every=every)], model=model_of(tuning))
    found = weights_of(trainer.model)
    assert farthest(found, average_of(start, seen, 0.6, every)) < 1e-6
    assert farthest(found, seen[-1]) > 1e-3
    report = trainer.artifacts[0].report
    assert report["averages"] == 4 // every
    assert report["start_share"] == pytest.approx(0.6 ** (4 // every))
    gaps = sum(float((seen[-1][n] - w).square().sum()) for n, w in found.items())
    assert report["lag"] == pytest.approx(gaps**0.5, rel=1e-4)


def test_at_decay_one_the_start_is_served_bit_for_bit(tmp_path):
    start = weights_of(tiny_model())
    found = weights_of(trained(tmp_path, [EMA(decay=1.0)]).model)
    assert all(torch.equal(found[name], w) for name, w in start.items())


def vector():
    return holdfast.SecurityVectors(
        harmful=HARMFUL, kl_weight=0.0, rank=2, epochs=2, lr=1e-2, max_harmful_nll=1e9,
        max_benign_kl=1e9, attach="merged",
    )  # fmt: skip


def lisa():
    return holdfast.Lisa(alignment=REFUSALS, alignment_steps=1, user_steps=1, rho=0.5, batch_size=4)


def projection():
    return holdfast.SafetyProjection(safe=REFUSALS, tau=0.0, kappa=1.0, batch_size=4)


@pytest.mark.parametrize("make", [vector, lisa, projection])
def test_it_averages_what_another_defense_trains_and_changes_nothing_of_that(tmp_path, make):
    """Lisa's anchor and a merged vector are bare weights, and never the average.

    A correction after the update is in the average, also where its defense stands further inside.
    """
    start, seen = way(tmp_path, [make()])
    wanted = average_of(start, seen, 0.6)
    for pair in ([make(), EMA(decay=0.6)], [EMA(decay=0.6), make()]):
        found = weights_of(trained(tmp_path, pair, save_strategy="steps", save_steps=1).model)
        assert farthest(found, wanted) < 1e-6


@pytest.mark.parametrize(
    ("tuning", "options"),
    [
        ("full", {}),
        ("lora", {"every": 2, "feedback": True}),
        ("full", {"control": "shrink"}),
    ],
)
def test_a_checkpoint_holds_the_average_and_a_resumed_run_goes_on_from_the_raw(
    tmp_path, tuning, options
):
    def defense():
        return EMA(decay=0.6, **options)

    saving = {"save_strategy": "steps", "save_steps": 3}
    start, seen = way(tmp_path / "plain", tuning=tuning)
    whole = trained(tmp_path / "whole", [defense()], model=model_of(tuning))
    trained(tmp_path / "run", [defense()], model=model_of(tuning), **saving)
    checkpoint = tmp_path / "run" / "checkpoint-3"
    if not options:
        saved = load_file(next(checkpoint.glob("*model.safetensors")))
        assert farthest(saved, average_of(start, seen[:3], 0.6)) < 1e-6
    again = trainer_of(tmp_path / "run", [defense()], model=model_of(tuning), **saving)
    again.train(resume_from_checkpoint=str(checkpoint))
    ends = [weights_of(trainer.model) for trainer in (whole, again)]
    assert all(torch.equal(w, ends[1][name]) for name, w in ends[0].items())


def session_of(defense):
    """A defense attached to a tiny model that has gone one step."""
    model = tiny_model()
    run = Run(model, LocalEngine(model), list, lambda rows: {}, 0)
    defense.before(run)
    stack = ExitStack()
    stack.enter_context(defense.attached(run))
    with torch.no_grad():
        for p in model.parameters():
            p.add_(torch.randn_like(p), alpha=0.1)
    defense.after_update(Step(run, 0, 4))
    return run, stack


@pytest.mark.parametrize("control", ["none", "shrink"])
def test_served_exchanges_the_weights_and_puts_them_back_bit_for_bit(control):
    defense = EMA(decay=0.6, control=control)
    run, stack = session_of(defense)
    weights = run.engine.parameters()
    raw = copied(weights)
    inside = {}

    def broken():
        with defense.served(run):
            inside.update(copied(weights))
            raise KeyError

    with pytest.raises(KeyError):
        broken()
    assert farthest(inside, raw) > 1e-3
    assert all(torch.equal(w, raw[name]) for name, w in weights.items())
    stack.close()
    assert all(torch.equal(w, inside[name]) for name, w in weights.items())


@pytest.mark.parametrize("control", ["none", "shrink"])
def test_what_a_callback_changes_in_the_served_weights_stays(control):
    defense = EMA(decay=0.6, control=control)
    run, stack = session_of(defense)
    weights = run.engine.parameters()
    raw, name = copied(weights), next(iter(weights))
    with defense.served(run), torch.no_grad():
        weights[name].mul_(0.5)
        wanted = copied(weights)
    shift = weights[name] - raw[name]
    assert torch.allclose(shift, wanted[name] - 2 * wanted[name], atol=1e-6)
    assert all(torch.equal(w, raw[n]) for n, w in weights.items() if n != name)
    stack.close()
    assert farthest(copied(weights), wanted) < 1e-6


def test_the_control_is_as_far_from_the_start_and_on_the_straight_line(tmp_path):
    start, seen = way(tmp_path)
    found = [
        weights_of(trained(tmp_path, [EMA(decay=0.6, control=control)]).model)
        for control in ("none", "shrink")
    ]

    def flat(weights):
        return torch.cat([(weights[n] - w).flatten().double() for n, w in start.items()])

    average, shrink, whole = (flat(weights) for weights in (*found, seen[-1]))
    assert float(average.norm()) == pytest.approx(float(shrink.norm()), rel=1e-5)
    assert torch.allclose(shrink, whole * (shrink.norm() / whole.norm()), atol=1e-6)
    assert float(average @ shrink) < 0.999 * float(shrink.norm() ** 2)


def test_a_control_is_told_as_one():
    assert EMA(control="shrink").variant() == holdfast.defense.Variant("shrink", control=True)
    assert not EMA().variant().control


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"decay": 1.1}, "decay=1.1"),
        ({"decay": -0.1}, "decay=-0.1"),
        ({"every": 0}, "every=0"),
        ({"every": 1.5}, "every=1.5"),
        ({"feedback": "no"}, "feedback='no'"),
        ({"control": "half"}, "control='half'"),
        ({"control": "shrink", "feedback": True}, "trains another way"),
    ],
)
def test_what_is_out_of_range_is_refused(options, says):
    with pytest.raises(ConfigError, match=says):
        EMA(**options).validate()


def test_a_run_that_never_averages_is_refused_in_its_first_step(tmp_path):
    with pytest.raises(ConfigError, match="no average would ever be taken"):
        trained(tmp_path, [EMA(every=5)])


def test_what_it_did_is_in_the_log(tmp_path):
    trainer = trained(tmp_path, [EMA(decay=0.6)])
    logs = [row for row in trainer.state.log_history if "ema/averages" in row]
    assert [row["ema/averages"] for row in logs] == [1, 2, 3, 4]
    assert all(row["ema/lag"] > 0 and row["ema/start_share"] < 1 for row in logs)
