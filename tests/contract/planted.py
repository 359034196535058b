"""Broken defenses and engines, each with one fault that a check of the contract must catch."""

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from holdfast.training.trace import Trace
from holdfast.training.trainer import SecureTrainer
from tests.contract.hook_checks import linear
from tests.contract.probes import Planted, noise_like


@dataclass
class ActsAtZero(Planted):
    def gradient(self, step, backward):
        loss = backward()
        step.engine.add_gradient({n: p.detach() for n, p in step.engine.parameters().items()}, 1e-3)
        return loss


@dataclass
class DrawsAtZero(Planted):
    def gradient(self, step, backward):
        torch.rand(1)
        return backward()


@dataclass
class Idle(Planted):
    def gradient(self, step, backward):
        return backward()


@dataclass
class ZeroesGradients(Planted):
    def gradient(self, step, backward):
        step.model.zero_grad()
        return backward()


@dataclass
class OncePerMicroBatch(Planted):
    def gradient(self, step, backward):
        loss = backward()
        step.engine.add_gradient({n: p.detach() for n, p in step.engine.parameters().items()}, 0.01)
        return loss


@dataclass
class Unseeded(Planted):
    calls: ClassVar[int] = 0

    def gradient(self, step, backward):
        loss = backward()
        type(self).calls += 1
        pull = {n: noise_like(p, 0.01 * self.calls) for n, p in step.engine.parameters().items()}
        step.engine.add_gradient(pull)
        return loss


@dataclass
class SeedUnused(Planted):
    seed: int = 0


@dataclass
class Reseeds(Planted):
    def gradient(self, step, backward):
        torch.manual_seed(0)
        return super().gradient(step, backward)


@dataclass
class Forgets(Planted):
    """Its pull grows with the steps it has counted, and a checkpoint does not know the count."""

    count_: int = field(default=0, init=False)

    def gradient(self, step, backward):
        loss = backward()
        self.count_ += 1
        pull = {n: p.detach() for n, p in step.engine.parameters().items()}
        step.engine.add_gradient(pull, 0.1 * self.count_)
        return loss

    def state(self):
        return {}


@dataclass
class DisturbsSaving(Planted):
    def attached(self, run):
        return nullcontext()

    @contextmanager
    def served(self, run):
        first = next(iter(run.engine.parameters().values()))
        with torch.no_grad():
            first.add_(0.1).sub_(0.1000001)
        yield


@dataclass
class TellsTheSecret(Planted):
    private: ClassVar[frozenset[str]] = frozenset({"secret_"})
    secret_: dict[str, Tensor] = field(default_factory=dict, init=False)

    def before(self, run):
        self.secret_ = {"a": noise_like(torch.zeros(4, 8), 1.0)}

    def state(self):
        return {**super().state(), "copy_": {"innocent": self.secret_["a"].clone()}}


@dataclass
class StateIsNoJson(Planted):
    seen_: Any = field(default=None, init=False)

    def before(self, run):
        self.seen_ = {1, 2}

    def state(self):
        return super().state()


@dataclass
class Attaches(Planted):
    """Adds noise to the frozen weights, or to the trained ones, while training."""

    def attached(self, run):
        return self._moved(linear(run.model).weight)

    @contextmanager
    def _moved(self, weight):
        kept = weight.detach().clone()
        with torch.no_grad():
            weight.add_(noise_like(weight, 0.01))
        try:
            yield
        finally:
            with torch.no_grad():
                weight.copy_(kept)


@dataclass
class SavesAttached(Attaches):
    """Takes its noise off at the end, and writes checkpoints with it on."""

    @contextmanager
    def _moved(self, weight):
        noise = noise_like(weight, 0.01)
        with torch.no_grad():
            weight.add_(noise)
        try:
            yield
        finally:
            with torch.no_grad():
                weight.sub_(noise)

    def served(self, run):
        return nullcontext()


@dataclass
class RestoresBySubtraction(SavesAttached):
    """In bfloat16, w + v - v is not w."""


@dataclass
class NotOnErrors(Attaches):
    @contextmanager
    def _moved(self, weight):
        noise = noise_like(weight, 0.01)
        with torch.no_grad():
            weight.add_(noise)
        yield
        with torch.no_grad():
            weight.sub_(noise)


@dataclass
class LeavesHook(Planted):
    def before(self, run):
        linear(run.model).register_forward_hook(lambda *_: None)


@dataclass
class LeavesHookOnErrors(Planted):
    @contextmanager
    def attached(self, run):
        handle = linear(run.model).register_forward_hook(lambda *_: None)
        yield
        handle.remove()


@dataclass
class TrainsFrozenWeights(Planted):
    def before(self, run):
        for p in run.model.parameters():
            p.requires_grad_(True)


@dataclass
class LeavesEvaluating(Planted):
    def after(self, run):
        run.model.eval()


@dataclass
class ChangesType(Planted):
    def after(self, run):
        frozen = next(p for p in run.model.parameters() if not p.requires_grad)
        frozen.data = frozen.data.double()


@dataclass
class LeavesGradients(Planted):
    def after(self, run):
        run.engine.add_gradient({n: p.detach() for n, p in run.engine.parameters().items()})


@dataclass
class LeavesAttribute(Planted):
    def before(self, run):
        module = linear(run.model)
        module.forward = module.forward


class ZeroesEngine(SecureTrainer):
    def training_step(self, model, inputs, num_items_in_batch=None):
        model.zero_grad()
        return super().training_step(model, inputs, num_items_in_batch)


class DeafEngine(SecureTrainer):
    """Never calls ``gradient``, and its trace does not look."""

    def training_step(self, model, inputs, num_items_in_batch=None):
        held = self._holdfast
        session, held.session = held.session, None
        try:
            return super().training_step(model, inputs, num_items_in_batch)
        finally:
            held.session = session

    def train(self, *args, **kwargs):
        self._check, Trace.check = Trace.check, lambda *_: None
        try:
            return super().train(*args, **kwargs)
        finally:
            Trace.check = self._check


class ForgetfulEngine(SecureTrainer):
    """Keeps its callback after the run."""

    def remove_callback(self, callback):
        pass
