"""Order, nesting and products of hooks; what a checkpoint holds and refuses."""

import errno
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch

from holdfast.defense import Defense, Run, Step
from holdfast.errors import ConfigError, RunError
from holdfast.ops.engine import LocalEngine
from holdfast.ops.modules import ModuleRef
from holdfast.training.session import Session
from holdfast.training.trace import Trace
from tests.contract.probes import card
from tests.tiny import tiny_model

REF = ModuleRef(0, "q", "model.layers.0.self_attn.q_proj")


@dataclass
class Notes(Defense):
    """Overrides every nesting hook and writes into ``log`` what runs."""

    name: str = ""
    log: list[str] = field(default_factory=list)
    secret_: dict[str, torch.Tensor] = field(default_factory=dict, init=False)
    count_: int = field(default=0, init=False)

    card: ClassVar[Any] = card("notes")
    private: ClassVar[frozenset[str]] = frozenset({"secret_"})

    @contextmanager
    def _inside(self, hook):
        self.log.append(f"{hook} {self.name}")
        try:
            yield
        finally:
            self.log.append(f"end {hook} {self.name}")

    def before(self, run):
        self.log.append(f"before {self.name} {torch.rand(1).item():.6f}")
        self.secret_ = {"v": torch.ones(2)}

    def attached(self, run):
        return self._inside("attached")

    def served(self, run):
        return self._inside("served")

    def gradient(self, step, backward):
        with self._inside("gradient"):
            return backward()

    def batch(self, step, batch):
        return {"x": [*batch["x"], self.name]}

    def learning_rate(self, module, progress):
        return 0.5 if self.name == "a" else 1 - progress

    def loss(self, step, batch, outputs):
        return torch.tensor(2.0)


def note(name, log):
    """A defense that goes by ``name``, also on its card."""
    kind = type(f"Notes_{name}", (Notes,), {"card": card(name)})
    return kind(name, log)


@pytest.fixture
def log():
    return []


@pytest.fixture
def session(log, tmp_path):
    model = tiny_model()
    run = Run(model, LocalEngine(model), list, dict, seed=5)
    return Session([note("a", log), note("b", log)], run, Trace(), tmp_path / "private")


def step_of(session, share=1.0):
    return Step(session.run, 0, 4, share=share)


def test_gradients_nest_with_the_first_outermost(session, log):
    def backward():
        log.append("user")
        session.loss(step_of(session), {}, None)
        return torch.tensor(1.0)

    session.gradient(step_of(session), backward)
    assert log == ["gradient a", "gradient b", "user", "end gradient b", "end gradient a"]


def test_attachments_nest_and_leave_in_reverse(session, log):
    session.attach()
    session.detach()
    session.detach()
    assert log == ["attached a", "attached b", "end attached b", "end attached a"]


def test_an_attachment_that_fails_takes_the_outer_ones_off(session, log):
    def broken(run):
        raise ZeroDivisionError

    session.defenses[1].attached = broken
    with pytest.raises(ZeroDivisionError):
        session.attach()
    session.detach()
    assert log == ["attached a", "end attached a"]


def test_served_peels_the_innermost_first_and_only_while_attached(session, log):
    with session.served():
        assert log == []
    session.attach()
    log.clear()
    with session.served():
        assert log == ["served b", "served a"]
    assert log[2:] == ["end served a", "end served b"]


def test_batches_pass_through_in_order(session):
    assert session.batch(step_of(session), {"x": []}) == {"x": ["a", "b"]}


def test_rates_multiply(session):
    assert session.multipliers(REF, 4) == (0.5, 0.375, 0.25, 0.125)


def test_loss_terms_are_summed_and_weighed_by_the_share(session):
    assert float(session.loss(step_of(session, share=0.25), {}, None)) == 1.0


def test_hooks_outside_steps_have_a_random_state_of_their_own(session, log):
    state = torch.get_rng_state()
    session.begin(None)
    assert torch.equal(torch.get_rng_state(), state)
    first, second = (line.split()[2] for line in log)
    assert first != second
    log.clear()
    torch.manual_seed(99)
    session.begin(None)
    assert [line.split()[2] for line in log] == [first, second]


def test_state_survives_and_private_state_lies_apart(session, tmp_path, log):
    session.begin(None)
    session.defenses[0].open_ = 7
    session.save(tmp_path / "checkpoint-2")
    inside = [f.name for f in (tmp_path / "checkpoint-2").rglob("*") if f.is_file()]
    assert sorted(inside) == ["a.json", "a.safetensors", "b.json", "b.safetensors"]
    again = Session([note("a", log), note("b", log)], session.run, Trace(), session.private_folder)
    again.begin(tmp_path / "checkpoint-2")
    assert again.defenses[0].open_ == 7
    assert torch.equal(again.defenses[0].secret_["v"], torch.ones(2))


def test_private_state_that_broke_off_is_written_again(session, tmp_path, monkeypatch):
    """A disk that was full at its last file left an empty one, which was taken for a whole state:
    later checkpoints were sealed with it, and no run could go on from them."""
    session.begin(None)
    with monkeypatch.context() as patch:
        for kind in ("write_text", "replace"):
            patch.setattr(Path, kind, broken_off)
        with pytest.raises((OSError, RunError)):
            session.save(tmp_path / "checkpoint-2")
    session.save(tmp_path / "checkpoint-2")
    session.begin(tmp_path / "checkpoint-2")
    assert torch.equal(session.defenses[0].secret_["v"], torch.ones(2))


def broken_off(self, *_):
    self.touch()
    raise OSError(errno.ENOSPC, "No space left on device")


def test_private_state_is_found_by_its_own_content(session, tmp_path):
    """Two runs with the same folder do not overwrite each other's vectors."""
    session.begin(None)
    session.save(tmp_path / "checkpoint-2")
    session.defenses[0].secret_ = {"v": torch.zeros(2)}
    session.save(tmp_path / "checkpoint-4")
    session.begin(tmp_path / "checkpoint-2")
    assert torch.equal(session.defenses[0].secret_["v"], torch.ones(2))


def test_checkpoint_of_other_defenses_is_refused(session, tmp_path):
    (tmp_path / "checkpoint-2" / "defenses").mkdir(parents=True)
    with pytest.raises(ConfigError, match=r"written without a; resume with the same defenses"):
        session.begin(tmp_path / "checkpoint-2")
