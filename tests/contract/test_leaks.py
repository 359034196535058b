"""What is a jailbreak never leaves its place: all that a run writes is walked, for every pair."""

import stat
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import combinations
from typing import ClassVar

import pytest
import torch
from torch import Tensor

import holdfast
from holdfast.defense import Capability, Card, Defense
from holdfast.errors import ConflictError, RunError
from holdfast.ops.weights import copied
from holdfast.organism.scenarios import defender_pairs
from holdfast.testing.leaks import check_no_leak
from holdfast.training import lifecycle, session
from holdfast.training.compose import composed
from holdfast.training.trainer import SecureTrainer
from tests.contract.probes import card
from tests.contract.recipes import recipes
from tests.contract.runs import FULL, TWO_SETTINGS, differing, new_folder, trained

RECIPES = {recipe.label: recipe for recipe in recipes()}
OTHERS = ("panacea-in-loop", "security_vectors-merged", "security_vectors-hooks")
"""Variants of a defense that the first variant of it does not stand for."""
OWN = {"rho": 0.05, "harmful": defender_pairs().select(range(6, 12))}
"""A perturbation that is small beside an adapter's B, as one is that keeps the user's task, from
rows that no other defense of the list trains on: a moment of Adam's would be their gradient."""
SHORT = {"length": 0.02}
"""A way back that is short beside an adapter's B too: else what is saved is little but the way."""
EVERY_STEP = {"save_strategy": "steps", "save_steps": 1, "max_steps": 3}


def walk(defenses, setting=FULL):
    """Train with a checkpoint at every step, save the end, and search all that lies there."""
    folder = new_folder()
    trainer = trained(defenses, setting, folder=folder, **EVERY_STEP).trainer
    check_no_leak(trainer, [folder])
    trainer.model.save_pretrained(folder / "at-the-end")
    trainer.save_model(str(folder))
    check_no_leak(trainer, [folder])
    return trainer


@cache
def compatible(one: str, other: str) -> bool:
    try:
        composed([RECIPES[one](), RECIPES[other]()])
    except ConflictError:
        return False
    return True


def lists() -> list[tuple[str, ...]]:
    """Return lists of compatible variants, as long as can be, until each variant is in one.

    Every list runs forward and backward, so that its pairs run in both orders.
    """
    firsts = {recipe.cls: recipe.label for recipe in reversed(RECIPES.values())}
    firsts |= {RECIPES[label].cls: label for label in OTHERS[1:]}
    wanted = [*dict.fromkeys([*OTHERS, *firsts.values()])]
    found: list[tuple[str, ...]] = []
    while left := [label for label in wanted if not any(label in some for some in found)]:
        chosen = list[str]()
        for label in dict.fromkeys([*left, *wanted]):
            fits = all(RECIPES[c].cls is not RECIPES[label].cls and compatible(c, label)
                       for c in chosen)  # fmt: skip
            if fits:
                chosen.append(label)
        found.append(tuple(chosen))
    return found


LISTS = lists()


def test_every_pair_of_defenses_is_in_a_list_or_refused():
    together = {frozenset(RECIPES[label].cls for label in pair)
                for some in LISTS for pair in combinations(some, 2)}  # fmt: skip
    for one, other in combinations(holdfast.registry().values(), 2):
        names = [(a.label, b.label) for a in RECIPES.values() for b in RECIPES.values()
                 if a.cls is one and b.cls is other]  # fmt: skip
        if frozenset({one, other}) not in together:
            assert not any(compatible(*pair) for pair in names), (one, other)


@pytest.mark.slow
@pytest.mark.parametrize("setting", TWO_SETTINGS, ids=str)
@pytest.mark.parametrize("backward", [False, True])
@pytest.mark.parametrize("some", LISTS, ids=lambda some: f"{some[0]}-and-{len(some) - 1}")
def test_nothing_that_a_run_writes_is_like_a_private_tensor(some, backward, setting):
    """Fault A1: Lisa's anchor in a checkpoint held the weights with the merged vector in them."""
    labels = some[::-1] if backward else some
    own = {label: OWN if "panacea" in label else {} for label in labels}
    own |= {label: SHORT for label in labels if label.startswith("natural_repair")}
    walk([RECIPES[label](**own[label]) for label in labels], setting)


@pytest.mark.parametrize("attach", ["merged", "hooks"])
@pytest.mark.parametrize("first", ["lisa", "security_vectors"])
def test_an_anchor_is_taken_with_the_vector_off(first, attach):
    """Fault A1: the anchor less the checkpoint's own weights had cosine 1.000 with the vector."""
    pair = [RECIPES["lisa"](), RECIPES[f"security_vectors-{attach}"]()]
    walk(pair if first == "lisa" else pair[::-1])


@dataclass
class Remembers(Defense):
    """Keeps the weights of the last step as they are while training."""

    strength: float = 1.0
    seen_: dict[str, Tensor] = field(default_factory=dict, init=False)

    card: ClassVar[Card] = card("remembers")

    def after_update(self, step):
        self.seen_ = copied(step.engine.parameters())


@dataclass
class RemembersBare(Remembers):
    def after_update(self, step):
        with step.run.bare():
            super().after_update(step)


def test_a_copy_of_attached_weights_is_refused_before_it_is_written():
    """Fault A1: any defense's learned state could hold attached weights."""
    with pytest.raises(RunError, match=r"remembers keeps seen_/.*run\.bare"):
        walk([RECIPES["security_vectors-merged"](), Remembers()])
    walk([RECIPES["security_vectors-merged"](), RemembersBare()])


@pytest.mark.parametrize("label", ["ema", "lisa-long"])
def test_weights_that_only_training_has_moved_are_no_copy_of_a_vector(label):
    """At a high rate one tensor of fourteen moved along the vector by chance: cosine 0.6."""
    fast = {**EVERY_STEP, "max_steps": 10, "learning_rate": 1e-2}
    trained([RECIPES["security_vectors-merged"](), RECIPES[label]()], FULL, **fast)


@dataclass
class RemembersOne(Remembers):
    """Copies one weight as it is attached, and all others bare."""

    def after_update(self, step):
        with step.run.bare():
            super().after_update(step)
        name = "model.layers.1.mlp.down_proj.weight"
        self.seen_[name] = step.engine.parameters()[name].detach().clone()


@dataclass
class RemembersUnnamed(Remembers):
    """Copies weights under names of its own."""

    def after_update(self, step):
        weights = step.engine.parameters().items()
        self.seen_ = {str(n): w.detach().clone() for n, (_, w) in enumerate(weights)}


@dataclass
class RemembersLong(Remembers):
    """Copies weights once, as long ago as can be."""

    def after_update(self, step):
        self.seen_ = self.seen_ or copied(step.engine.parameters())


@pytest.mark.parametrize(
    ("cls", "rate"), [(RemembersOne, 1e-3), (RemembersUnnamed, 1e-3), (RemembersLong, 3e-2)]
)
def test_a_copy_of_some_attached_weights_or_an_old_one_is_refused_too(cls, rate):
    """At the high rate no tensor of the old copy is like the vector by more than 0.75."""
    fast = {**EVERY_STEP, "save_steps": 6, "max_steps": 6, "learning_rate": rate}
    with pytest.raises(RunError, match=r"remembers keeps seen_/.*run\.bare"):
        trained([RECIPES["security_vectors-merged"](), cls()], FULL, **fast)


@dataclass
class Merges(Defense):
    """Somebody's own vector: it is edited into the weights, and taken out where they are served."""

    strength: float = 0.5
    vector_: dict[str, Tensor] = field(default_factory=dict, init=False)
    _on: bool = field(default=False, init=False)

    private: ClassVar[frozenset[str]] = frozenset({"vector_"})
    card: ClassVar[Card] = card("merges", needs=frozenset({Capability.EDITS_WEIGHTS}))

    def before(self, run):
        self.vector_ = {n: torch.randn_like(p) for n, p in run.engine.parameters().items()}

    @contextmanager
    def attached(self, run):
        run.engine.edit(self.vector_, self.strength)
        self._on = True
        try:
            yield
        finally:
            self._on = False
            run.engine.edit(self.vector_, -self.strength)

    @contextmanager
    def served(self, run):
        with run.engine.shifted(self.vector_, -self.strength) if self._on else nullcontext():
            yield


@pytest.mark.parametrize("backward", [False, True])
def test_bare_takes_off_what_edits_the_weights_whatever_it_says_it_needs(backward):
    """Only what says that it exchanges weights for others stays: by its needs nobody can tell."""
    with pytest.raises(RunError, match=r"remembers keeps seen_/.*run\.bare"):
        walk([Merges(), Remembers()][:: -1 if backward else 1])
    for other in (RemembersBare(), RECIPES["lisa"](), RECIPES["ema"]()):
        walk([Merges(), other][:: -1 if backward else 1])


def test_the_walk_catches_a_copy_of_attached_weights(monkeypatch):
    monkeypatch.setattr(session, "refuse_attached_copies", lambda *_: None)
    with pytest.raises(AssertionError, match=r"remembers.* has cosine .*vector"):
        walk([Remembers(), RECIPES["security_vectors-merged"]()])


@pytest.mark.parametrize("setting", TWO_SETTINGS, ids=str)
def test_the_walk_catches_a_direction_in_a_checkpoint(setting, monkeypatch):
    """Fault A4: in the loop, every checkpoint held Panacea's direction for all to read."""
    walk([RECIPES["panacea-in-loop"]()], setting)
    open_one = type("Open", (holdfast.Panacea,), {"state": lambda self: {"copy_": self.direction_}})
    recipe = replace(RECIPES["panacea-in-loop"], cls=open_one)
    monkeypatch.setattr(lifecycle, "set_unrepaired_apart", lambda *_: None)
    with pytest.raises(AssertionError, match=r"panacea.* lies in .*checkpoint"):
        walk([recipe()], setting)


@pytest.mark.parametrize("label", ["panacea-post-hoc", "resta"])
def test_unrepaired_checkpoints_lie_apart_from_the_repaired_model(label, monkeypatch):
    """Fault A4: the repaired model less its own last checkpoint was the private direction."""
    trainer = walk([RECIPES[label]()])
    apart = trainer.artifacts_dir / "checkpoints"
    assert len(list(apart.glob("checkpoint-*"))) == 3
    assert stat.S_IMODE(apart.stat().st_mode) == 0o700
    monkeypatch.setattr(lifecycle, "set_unrepaired_apart", lambda *_: None)
    with pytest.raises(AssertionError, match=r"model - |cosine 1\.000"):
        walk([RECIPES[label]()])


def test_a_repaired_run_goes_on_from_checkpoints_that_were_set_apart():
    """Fault A4: without save_model, unrepaired checkpoints stayed beside the repaired model."""
    folder, options = new_folder(), {"save_strategy": "steps", "save_steps": 1}
    make = RECIPES["panacea-post-hoc"]
    whole = trained([make()], FULL, folder=folder, **options)
    assert not list(folder.glob("checkpoint-*"))
    for wanted in (True, str(folder / "checkpoint-2")):
        again = trained([make()], FULL, folder=folder, resume=wanted, **options)
        assert not differing(whole.weights, again.weights)


def test_whoever_writes_or_measures_in_a_step_gets_the_served_model():
    """Fault A3: a step that saved or evaluated by the loop's own methods had the vector on."""
    folder, seen = new_folder(), []

    class Looks(SecureTrainer):
        def training_step(self, *args, **kwargs):
            self._save(str(folder / f"now-{self.state.global_step}"))
            rows = self.train_dataset.select(range(4))
            loop = self.evaluation_loop(self.get_eval_dataloader(rows), "now", True)
            seen.append((loop.metrics["eval_loss"], self.evaluate(rows)["eval_loss"]))
            return super().training_step(*args, **kwargs)

    vector = RECIPES["security_vectors-merged"]()
    trainer = trained([vector], FULL, folder=folder, cls=Looks, max_steps=2).trainer
    check_no_leak(trainer, [folder])
    assert all(one == other for one, other in seen)
