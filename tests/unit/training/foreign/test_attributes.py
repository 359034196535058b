"""Nothing that a trainer of somebody else has is hit by what defenses add to it."""

import ast
from pathlib import Path
from typing import Any

import pytest
import transformers
import trl
from transformers import Trainer

from holdfast import SecureMixin, SecureTrainer, protect
from holdfast.errors import ConfigError
from holdfast.training.compat import LoopHooks
from holdfast.training.foreign.held import READABLE
from tests.contract.probes import Planted
from tests.contract.runs import FULL, differing, new_trainer, plain, trained, weights_of

OVERRIDDEN = {
    "__init__", "train", "training_step", "compute_loss", "create_optimizer", "create_scheduler",
    "log", "evaluate", "predict", "save_model", "_inner_training_loop", "_finalize_training",
    "_load_best_model", "_save", "evaluation_loop",
    "_push_from_checkpoint", "_save_checkpoint", "get_train_dataloader",
}  # fmt: skip
"""What the mixin takes on purpose, and calls."""


def ours() -> set[str]:
    """Return every name that the mixin puts on a trainer."""
    kinds = [kind for kind in SecureMixin.__mro__ if issubclass(kind, LoopHooks)]
    names = {name for kind in kinds for name in vars(kind)}
    trainer: Any = protect(new_trainer(None, FULL), [Planted()])
    names |= vars(trainer).keys() - vars(new_trainer(None, FULL)).keys()
    return {name for name in names if not name.startswith("__")}


def theirs() -> dict[str, set[str]]:
    """Return, by class and without importing it, each name that a trainer of TRL has or sets."""
    found: dict[str, set[str]] = {}
    sources = [*Path(trl.__file__).parent.rglob("*.py"), Path(transformers.__file__).parent]
    sources[-1] /= "trainer.py"
    for source in sources:
        text = source.read_text()
        for node in ast.walk(ast.parse(text)) if "Trainer(" in text else ():
            if isinstance(node, ast.ClassDef) and node.name.endswith("Trainer"):
                found[f"{source.stem}.{node.name}"] = _names(node)
    return found


def _names(kind: ast.ClassDef) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(kind):
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        if isinstance(node, ast.Attribute) and getattr(node.value, "id", "") == "self":
            names.add(node.attr)
    return names


def test_no_name_of_ours_is_one_of_theirs():
    """Fault C2: `_step` was holdfast's and GRPO's: a crash even without a defense."""
    scanned = theirs()
    assert len(scanned) > 20
    assert "_step" in scanned["grpo_trainer.GRPOTrainer"]
    taken = ours() - OVERRIDDEN
    hit = {kind: taken & names for kind, names in scanned.items() if taken & names}
    assert not hit


class Own(Trainer):
    """A user's trainer that has every name that holdfast ever used, with values of its own."""

    NAMES = (*sorted(READABLE), "_step", "_micro", "_rates", "_multipliers", "_given_optimizer")

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        for name in self.NAMES:
            setattr(self, name, f"mine: {name}")

    def say(self):
        return "mine: say"

    def _run(self):
        return "mine: _run"

    _served = _inside = _make_step = _missing = _bare = _to_stderr = _run

    def training_step(self, *args, **kwargs):
        assert all(getattr(self, name) == f"mine: {name}" for name in self.NAMES)
        assert self.say() == "mine: say"
        assert self._served() == self._missing() == self._bare() == "mine: _run"
        return super().training_step(*args, **kwargs)


def test_a_users_names_stay_the_users():
    """Fault C2: any class that had `session`, `trace` or `_run` of its own lost it."""
    trainer = protect(new_trainer(None, FULL, cls=Own), [Planted()])
    trainer.train()
    assert not differing(weights_of(trainer.model), trained([Planted()]).weights)
    assert trainer._holdfast.trace.counts["planted", "gradient"].calls == 4


def test_no_defense_leaves_such_a_class_as_it_is():
    """Fault C2: as above, with no defense at all."""
    trainer = protect(new_trainer(None, FULL, cls=Own), [])
    trainer.train()
    assert not differing(weights_of(trainer.model), plain(FULL).weights)


def test_public_names_are_read_where_they_are_free():
    trainer: Any = new_trainer([Planted()])
    assert [d.card.name for d in trainer.defenses] == ["planted"]
    assert trainer.session is None
    trainer.train()
    assert trainer.trace.rows()
    assert trainer.artifacts == []
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = trainer.nothing


def test_say_can_be_set():
    said: list[str] = []
    trainer: Any = new_trainer([])
    trainer.say = said.append
    trainer._holdfast_run().say("one line")
    protect(trainer, [Planted()])._holdfast_run().say("two")
    trainer.say("three")
    assert said == ["one line", "two", "three"]
    new_trainer([]).say("to nobody")  # Its progress bar is off.


def test_a_method_replaced_on_the_object_is_refused():
    """Fault C3: it passed the defense by until the trace said so after the whole run."""
    trainer: Any = new_trainer(None, FULL)
    own = trainer.compute_loss
    trainer.compute_loss = own
    with pytest.raises(ConfigError, match=r"trainer\.compute_loss was replaced.*subclass of Tr"):
        protect(trainer, [Planted()])


def test_getattr_of_a_users_class_is_asked():
    class Asking(SecureTrainer):
        def __getattr__(self, name):
            return "asked" if name == "special" else super().__getattr__(name)

    class Below(Trainer):
        def __getattr__(self, name):
            if name == "deep":
                return "found"
            raise AttributeError(name)

    assert new_trainer([], cls=Asking).special == "asked"
    below: Any = protect(new_trainer(None, FULL, cls=Below), [])
    assert below.deep == "found"
    assert below.trace.rows() == []
