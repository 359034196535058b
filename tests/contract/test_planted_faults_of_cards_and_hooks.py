"""The checks of cards and of the hooks without a user yet catch the faults they are there for."""

from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest
import torch

from holdfast.defense import Capability
from holdfast.training import learning_rates, lifecycle, trainer
from holdfast.training.session import Session
from holdfast.training.trace import Trace
from tests.contract import card_checks, checks, hook_checks
from tests.contract.probes import Planted, SameLossAgain, card
from tests.contract.runs import FULL, SFT_FULL


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
            lifecycle, "rates", lambda o: dict([*learning_rates.rates(o).items()][:1])
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
        monkeypatch.setattr(Trace, "called_in", lambda _self, step, *_: step)
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
