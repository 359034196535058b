"""Every check of the contract catches the fault it is there for."""

from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from holdfast import learning_rates, trainer
from holdfast.defense import Capability
from holdfast.session import Session
from holdfast.trace import Trace
from holdfast.trainer import SecureTrainer
from tests.contract import card_checks, checks, hook_checks
from tests.contract.probes import Planted, SameLossAgain, card, noise_like
from tests.contract.runs import FULL, LORA, LORA_ON_BF16, SFT_FULL


def test_the_base_of_the_broken_defenses_keeps_the_contract():
    checks.check_no_defense_is_plain(FULL)
    checks.check_strength_zero(Planted, FULL)
    checks.check_acts(Planted, FULL)
    checks.check_trace(Planted, FULL)
    checks.check_accumulation(Planted, FULL)
    checks.check_seeds(Planted, FULL)
    checks.check_user_randomness(Planted, FULL)
    checks.check_resume(Planted, FULL)
    checks.check_checkpoint(Planted, FULL)
    checks.check_leaves_nothing(Planted, LORA_ON_BF16)
    checks.check_leaves_nothing_after_errors(Planted, FULL)


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
        return self._moved(hook_checks.linear(run.model).weight)

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
        hook_checks.linear(run.model).register_forward_hook(lambda *_: None)


@dataclass
class LeavesHookOnErrors(Planted):
    @contextmanager
    def attached(self, run):
        handle = hook_checks.linear(run.model).register_forward_hook(lambda *_: None)
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
        linear = hook_checks.linear(run.model)
        linear.forward = linear.forward


class ZeroesEngine(SecureTrainer):
    def training_step(self, model, inputs, num_items_in_batch=None):
        model.zero_grad()
        return super().training_step(model, inputs, num_items_in_batch)


class DeafEngine(SecureTrainer):
    """Never calls ``gradient``, and its trace does not look."""

    def training_step(self, model, inputs, num_items_in_batch=None):
        session, self.session = self.session, None
        try:
            return super().training_step(model, inputs, num_items_in_batch)
        finally:
            self.session = session

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


FAULTS = [
    (checks.check_strength_zero, ActsAtZero, FULL),
    (checks.check_strength_zero, DrawsAtZero, FULL),
    (checks.check_acts, Idle, FULL),
    (checks.check_accumulation, ZeroesGradients, FULL),
    (checks.check_accumulation, OncePerMicroBatch, FULL),
    (checks.check_seeds, Unseeded, FULL),
    (checks.check_seeds, SeedUnused, FULL),
    (checks.check_user_randomness, Reseeds, FULL),
    (checks.check_resume, Forgets, FULL),
    (checks.check_resume, DisturbsSaving, FULL),
    (checks.check_checkpoint, TellsTheSecret, FULL),
    (checks.check_checkpoint, SavesAttached, FULL),
    (checks.check_leaves_nothing, RestoresBySubtraction, LORA_ON_BF16),
    (checks.check_leaves_nothing, LeavesHook, LORA),
    (checks.check_leaves_nothing, TrainsFrozenWeights, LORA),
    (checks.check_leaves_nothing, LeavesEvaluating, LORA),
    (checks.check_leaves_nothing, ChangesType, LORA),
    (checks.check_leaves_nothing, LeavesGradients, LORA),
    (checks.check_leaves_nothing, LeavesAttribute, LORA),
    (checks.check_leaves_nothing_after_errors, LeavesHookOnErrors, LORA),
    (checks.check_leaves_nothing_after_errors, NotOnErrors, LORA),
]


@pytest.mark.parametrize(
    ("check", "make", "setting"), FAULTS, ids=[f"{c.__name__}-{m.__name__}" for c, m, _ in FAULTS]
)
def test_fault_is_caught(check, make, setting):
    with pytest.raises(AssertionError):
        check(make, setting)


def test_what_restores_from_a_copy_passes_where_subtraction_fails():
    checks.check_leaves_nothing(Attaches, LORA_ON_BF16)
    checks.check_leaves_nothing_after_errors(Attaches, LORA)


def test_state_that_is_no_json_is_caught():
    with pytest.raises(TypeError, match="not JSON serializable"):
        checks.check_checkpoint(StateIsNoJson, FULL)


def test_an_engine_that_zeroes_gradients_is_caught():
    with pytest.raises(AssertionError, match="tensors differ"):
        checks.check_no_defense_is_plain(FULL, ZeroesEngine)
    with pytest.raises(AssertionError, match="accumulation"):
        checks.check_accumulation(Planted, FULL, ZeroesEngine)


def test_an_engine_that_skips_a_hook_is_caught():
    with pytest.raises(AssertionError, match="gradient never ran"):
        checks.check_trace(Planted, FULL, DeafEngine)


def test_an_engine_that_keeps_its_callback_is_caught():
    with pytest.raises(AssertionError, match="callbacks"):
        checks.check_leaves_nothing(Planted, FULL, ForgetfulEngine)


def test_an_engine_that_loses_the_session_is_caught(monkeypatch):
    lost: list[Session] = []  # Held, or the garbage collector would detach.
    monkeypatch.setattr(Session, "detach", lambda self: lost.append(self))  # noqa: PLW0108
    with pytest.raises(AssertionError):
        checks.check_leaves_nothing_after_errors(Attaches, LORA)


def test_an_engine_that_keeps_the_defenses_rows_is_caught(monkeypatch):
    class Adds(Planted):
        def data(self, run, rows):
            return [dict(row) for row in rows]

    kept = trainer.SecureMixin.train

    def train(self, *args, **kwargs):
        made = kept(self, *args, **kwargs)
        self.train_dataset = list(self.train_dataset)
        return made

    checks.check_leaves_nothing(Adds, FULL)
    monkeypatch.setattr(trainer.SecureMixin, "train", train)
    with pytest.raises(AssertionError, match="rows"):
        checks.check_leaves_nothing(Adds, FULL)


class TestPairs:
    @staticmethod
    def _other(**more):
        @dataclass
        class Other(Planted):
            card: ClassVar[Any] = card("other", **more)

        return Other

    def test_sound_pairs_pass(self):
        checks.check_pair(Planted, self._other())
        checks.check_pair(Planted, self._other(conflicts={"planted": "they clash"}))

    def test_a_pair_that_breaks_is_caught(self):
        class Breaks(self._other()):
            def gradient(self, step, backward):
                raise ZeroDivisionError

        with pytest.raises(ZeroDivisionError):
            checks.check_pair(Planted, Breaks)

    def test_a_refusal_that_nobody_declared_is_caught(self, monkeypatch):
        from holdfast.compose import composed  # noqa: PLC0415
        from holdfast.errors import ConflictError  # noqa: PLC0415

        def refusing(defenses):
            if len(defenses) > 1:
                raise ConflictError("planted and other: no")
            return composed(defenses)

        monkeypatch.setattr(trainer, "composed", refusing)
        with pytest.raises(AssertionError, match="undeclared"):
            checks.check_pair(Planted, self._other())

    def test_a_declared_conflict_that_trains_is_caught(self, monkeypatch):
        monkeypatch.setattr(trainer, "composed", tuple)
        with pytest.raises(AssertionError, match="not refused"):
            checks.check_pair(Planted, self._other(conflicts={"planted": "they clash"}))

    def test_a_swallowed_hook_is_caught(self):
        class Swallows(self._other()):
            """Runs the user's pass by itself, so the defense inside it never runs."""

            def gradient(self, step, backward):
                loss = step.engine.loss(self.last)
                loss.backward()
                return loss.detach()

            def batch(self, step, batch):
                self.last = dict(batch)
                return batch

        with pytest.raises(Exception, match="never ran"):
            checks.check_pair(Swallows, Planted)


class TestCards:
    def test_sound_card_passes(self):
        card_checks.check_card(Planted)
        card_checks.check_config(Planted)

    @pytest.mark.parametrize(
        "broken",
        [
            card(""),
            card("With Space"),
            card("planted", strength="no_such_field"),
            card("planted", data=("no_such_field",)),
            card("planted", conflicts={"nobody": "why"}),
            card("planted", needs=frozenset({"magic", Capability.LOGITS})),
        ],
    )
    def test_incomplete_card_is_caught(self, broken):
        class Broken(Planted):
            card: ClassVar[Any] = broken

        with pytest.raises(AssertionError):
            card_checks.check_card(Broken)

    def test_a_field_that_hides_a_hook_is_caught(self):
        @dataclass
        class Shadows(Planted):
            learning_rate: float = 1e-3

        with pytest.raises(AssertionError, match="hides the hook"):
            card_checks.check_fields(Shadows)

    def test_undocumented_and_misnamed_fields_are_caught(self):
        @dataclass
        class Learned(Planted):
            learned: int = field(default=0, init=False)

        with pytest.raises(AssertionError, match="docstring"):
            card_checks.check_fields(Learned)

    def test_constructor_with_logic_is_caught(self):
        class Eager(Planted):
            def __post_init__(self):
                pass

        with pytest.raises(AssertionError, match="no logic"):
            card_checks.check_constructor(Eager)

    def test_range_that_nobody_checks_is_caught(self):
        with pytest.raises(AssertionError, match="not refused"):
            card_checks.check_constructor(Planted)

    def test_config_with_a_tensor_is_caught(self):
        with pytest.raises(TypeError):
            card_checks.check_config(lambda: Planted(strength=torch.ones(2)))

    @pytest.mark.parametrize("lost", card_checks.HEADINGS)
    def test_missing_heading_is_caught(self, tmp_path, lost):
        text = "\n\nword\n\n".join(h for h in card_checks.HEADINGS)
        file = tmp_path / "card.md"
        file.write_text(text + "\n```python\nx = 1\n```\n")
        card_checks.check_card_file(file)
        file.write_text(file.read_text().replace(lost + "\n", "\n"))
        with pytest.raises(AssertionError, match=lost[3:]):
            card_checks.check_card_file(file)

    def test_missing_file_and_broken_example_are_caught(self, tmp_path):
        file = tmp_path / "card.md"
        with pytest.raises(AssertionError, match=r"card.md is missing"):
            card_checks.check_card_file(file)
        file.write_text("## Example\n```python\nimport holdfast.no_such_module\n```\n")
        with pytest.raises(ImportError):
            card_checks.check_example(file)


class TestLearningRate:
    """The checks of the ``learning_rate`` hook against broken groups and schedulers."""

    @staticmethod
    def _groups(change):
        def split(optimizer, model, schedule):
            made = learning_rates.split_groups(optimizer, model, schedule)
            return change(optimizer, made) or made

        return split

    def test_lost_weight_decay_is_caught(self, monkeypatch):
        def change(optimizer, _):
            for group in optimizer.param_groups:
                group["weight_decay"] = 0.0

        monkeypatch.setattr(trainer, "split_groups", self._groups(change))
        with pytest.raises(AssertionError, match="weight decay"):
            hook_checks.check_groups_keep_decay(FULL)
        with pytest.raises(AssertionError, match="not plain"):
            hook_checks.check_rate_one_is_plain(FULL)

    def test_lost_tensor_is_caught(self, monkeypatch):
        def change(optimizer, _):
            optimizer.param_groups[0]["params"].pop()

        monkeypatch.setattr(trainer, "split_groups", self._groups(change))
        with pytest.raises(AssertionError, match="weight decay moved"):
            hook_checks.check_groups_keep_decay(FULL)

    def test_ignored_multiplier_is_caught(self, monkeypatch):
        def change(_, made):
            return [(1.0,) * len(m) for m in made]

        monkeypatch.setattr(trainer, "split_groups", self._groups(change))
        for check in (
            hook_checks.check_rate_zero_keeps_weights,
            hook_checks.check_rate_of_progress,
            hook_checks.check_rates_logged,
        ):
            with pytest.raises(AssertionError):
                check(FULL)

    def test_lost_shape_is_caught(self, monkeypatch):
        def scheduler(base, multipliers):
            made = learning_rates.scheduler_with(base, multipliers)
            made.lr_lambdas = [lambda _, m=m: m[0] for m in multipliers]
            return made

        monkeypatch.setattr(trainer, "scheduler_with", scheduler)
        with pytest.raises(AssertionError):
            hook_checks.check_rates_logged(FULL)

    def test_logging_one_group_only_is_caught(self, monkeypatch):
        monkeypatch.setattr(
            trainer, "rates", lambda o: dict([*learning_rates.rates(o).items()][:1])
        )
        with pytest.raises(AssertionError, match="rates of"):
            hook_checks.check_rates_logged(FULL)


class TestOtherHooks:
    @pytest.mark.parametrize("setting", [FULL, SFT_FULL], ids=str)
    def test_a_term_weighed_by_micro_batches_is_caught(self, monkeypatch, setting):
        def loss(self, step, batch, outputs):
            terms = [d.loss(step, batch, outputs) for d in self.having("loss")]
            return sum(terms) / 2

        monkeypatch.setattr(Session, "loss", loss)
        monkeypatch.setattr(Trace, "check", lambda *_: None)
        with pytest.raises(AssertionError, match="weighed wrongly"):
            hook_checks.check_loss_hook(setting)
        with pytest.raises(AssertionError, match="accumulation"):
            checks.check_accumulation(SameLossAgain, setting)

    def test_an_ignored_batch_is_caught(self, monkeypatch):
        monkeypatch.setattr(Session, "batch", lambda self, step, batch: batch)
        monkeypatch.setattr(Trace, "check", lambda *_: None)
        with pytest.raises(AssertionError, match="another batch"):
            hook_checks.check_batch_hook(FULL)

    def test_a_skipped_update_is_caught(self, monkeypatch):
        monkeypatch.setattr(Session, "after_update", lambda self, step: None)
        monkeypatch.setattr(Trace, "check", lambda *_: None)
        with pytest.raises(AssertionError, match="steps seen"):
            hook_checks.check_after_update_hook(FULL)
