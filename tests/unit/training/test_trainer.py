"""The one Trainer subclass: what the contract suite does not ask of every defense."""

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from transformers import Trainer
from trl import SFTTrainer

from holdfast import (
    Panacea,
    RandomPerturbation,
    SafeMixing,
    SecureTrainer,
    SecurityVectors,
    protect,
)
from holdfast.errors import ConfigError, ConflictError, DivergedError, NotRunError
from holdfast.files.sealing.checkpoints import told_apart
from holdfast.training import compat
from tests.contract.probes import KeptWeights, Planted, RoleRates, SameLossAgain
from tests.contract.recipes import data_rows
from tests.contract.runs import (
    FULL,
    LORA,
    LORA_ON_BF16,
    SFT_FULL,
    SFT_LORA,
    Setting,
    differing,
    gap,
    new_folder,
    new_trainer,
    plain,
    trained,
    weights_of,
)

SAVING: Any = {"save_strategy": "steps", "save_steps": 2}


def vectors(**options):
    open_gate = {"max_harmful_nll": 1e9, "max_benign_kl": 1e9, "epochs": 2, "lr": 1e-2}
    return SecurityVectors(harmful=data_rows(), benign=data_rows(), **(open_gate | options))


class TestProtect:
    def test_keeps_the_object_and_the_users_own_class(self):
        class Own(Trainer):
            calls = 0

            def compute_loss(self, *args, **kwargs):
                self.calls += 1
                return super().compute_loss(*args, **kwargs)

        trainer: Any = new_trainer(None, FULL, cls=Own)
        assert protect(trainer, [Planted()]) is trainer
        assert isinstance(trainer, Own)
        trainer.train()
        assert trainer.calls == 4
        assert trainer.trace.counts["planted", "gradient"].calls == 4
        assert not differing(weights_of(trainer.model), trained([Planted()]).weights)

    def test_works_on_an_sft_trainer_with_lora(self):
        trainer = protect(new_trainer(None, SFT_LORA), [Planted()])
        assert isinstance(trainer, SFTTrainer)
        trainer.train()
        expected = trained([Planted()], SFT_LORA).weights
        assert not differing(weights_of(trainer.model), expected)

    def test_a_second_call_replaces_the_defenses(self):
        trainer: Any = protect(new_trainer(None), [Planted()])
        kind = type(trainer)
        protect(trainer, [])
        assert type(trainer) is kind
        trainer.train()
        assert not differing(weights_of(trainer.model), plain(FULL).weights)

    def test_a_list_that_is_refused_leaves_the_trainer_as_it_was(self):
        """In a notebook the next cell trains: not with what was refused just now."""
        trainer: Any = new_trainer(None, Setting(base=torch.bfloat16))
        kind, had = type(trainer), set(vars(trainer))
        with pytest.raises(ConflictError, match="edits of the weights"):
            protect(trainer, [RandomPerturbation()])
        assert type(trainer) is kind
        assert set(vars(trainer)) == had
        protect(trainer, [Planted()])
        with pytest.raises(ConflictError, match="edits of the weights"):
            protect(trainer, [RandomPerturbation()])
        assert [d.card.name for d in trainer.defenses] == ["planted"]
        trainer.train()
        assert trainer.trace.counts["planted", "gradient"].calls == 4

    def test_refuses_what_a_constructor_refuses(self):
        with pytest.raises(ConflictError, match="twice"):
            protect(new_trainer(None), [Planted(), Planted()])


class TestRefusals:
    def test_distribution_refused_by_name_before_step_0(self, monkeypatch):
        monkeypatch.setattr(compat, "is_distributed", lambda _: "XLA")
        with pytest.raises(ConflictError, match=r"panacea needs .*XLA"):
            new_trainer([Panacea(harmful=data_rows())])
        new_trainer([SafeMixing(safe=data_rows()), RoleRates()])

    def test_edits_of_half_precision_weights_are_refused(self):
        with pytest.raises(ConflictError, match=r"edits of the weights.*bfloat16"):
            new_trainer([RandomPerturbation()], Setting(base=torch.bfloat16))
        new_trainer([RandomPerturbation()], LORA_ON_BF16)

    def test_an_optimizer_given_whole_cannot_have_rates(self):
        trainer: Any = new_trainer(None)
        trainer.optimizer = torch.optim.SGD(trainer.model.parameters(), lr=0.1)
        protect(trainer, [RoleRates()])
        with pytest.raises(ConfigError, match="optimizers="):
            trainer.train()

    def test_a_schedule_that_is_no_function_of_the_step_is_refused(self):
        options = {"lr_scheduler_type": "reduce_lr_on_plateau", "eval_strategy": "epoch"}
        with pytest.raises(ConfigError, match="ReduceLROnPlateau"):
            new_trainer([RoleRates()], **options).train()

    def test_a_loop_that_passes_a_hook_by_is_an_error(self):
        class Replaced(SecureTrainer):
            def training_step(self, model, inputs, num_items_in_batch=None):
                return Trainer.training_step(self, model, inputs, num_items_in_batch)

        with pytest.raises(NotRunError, match=r"planted\.gradient never ran"):
            new_trainer([Planted()], cls=Replaced).train()


class TestDivergence:
    class Diverging(SecureTrainer):
        def compute_loss(self, *args, **kwargs):
            loss = super().compute_loss(*args, **kwargs)
            return loss * float("nan") if self.state.global_step == 3 else loss

    def test_names_the_step_and_its_rows_and_keeps_the_checkpoint(self):
        folder = new_folder()
        trainer: Any = new_trainer([Planted()], cls=self.Diverging, folder=folder, **SAVING)
        with pytest.raises(DivergedError, match=r"at step 3, rows \d+, \d+ of the training set"):
            trainer.train()
        assert compat.whole_checkpoint(trainer, True) == folder / "checkpoint-2"
        assert trainer.session is None

    def test_nothing_stays_attached(self):
        trainer: Any = new_trainer([vectors()], LORA, cls=self.Diverging)
        start = {n: p.clone() for n, p in trainer.model.named_parameters() if not p.requires_grad}
        with pytest.raises(DivergedError):
            trainer.train()
        now = {n: p for n, p in trainer.model.named_parameters() if n in start}
        assert not differing(start, now)


class TestLogsAndEvaluation:
    def test_metrics_of_a_defense_are_logged(self):
        defense = Panacea(harmful=data_rows(), mode="in-loop", rho=0.1, lam=0.1)
        logs = trained([defense]).trainer.state.log_history
        losses = [row["panacea/harmful_loss"] for row in logs if "loss" in row]
        assert len(losses) == 4
        assert len(set(losses)) == 4

    def test_evaluation_within_a_run_is_of_the_served_model(self):
        trainer: Any = new_trainer([vectors()], SFT_LORA, eval_strategy="steps", eval_steps=4)
        trainer.train()
        within = next(r["eval_loss"] for r in trainer.state.log_history if "eval_loss" in r)
        assert within == pytest.approx(trainer.evaluate()["eval_loss"], abs=1e-6)

    @pytest.mark.parametrize("setting", [FULL, SFT_FULL], ids=str)
    def test_evaluation_has_no_term_of_a_defense(self, setting):
        trainer: Any = new_trainer(
            [SameLossAgain()], setting, eval_strategy="steps", eval_steps=4, learning_rate=0.0
        )
        trainer.train()
        logs = trainer.state.log_history
        evaluated = next(r["eval_loss"] for r in logs if "eval_loss" in r)
        learned = [r["loss"] for r in logs if "loss" in r]
        reference = plain(setting, learning_rate=0.0).losses
        assert evaluated < 1.5 * sum(reference) / 4
        assert sum(learned) == pytest.approx(2 * sum(reference), rel=1e-3)

    @pytest.mark.parametrize("setting", [FULL, SFT_LORA], ids=str)
    def test_the_best_checkpoint_is_loaded_without_the_vector(self, setting):
        options = {"eval_strategy": "steps", "eval_steps": 2, "load_best_model_at_end": True}
        trainer: Any = new_trainer([vectors()], setting, learning_rate=1e-2, **SAVING, **options)
        trainer.train()
        best = trainer.state.best_model_checkpoint
        assert best is not None
        logged = {r["step"]: r["eval_loss"] for r in trainer.state.log_history if "eval_loss" in r}
        assert trainer.evaluate()["eval_loss"] == pytest.approx(min(logged.values()), abs=1e-6)


class TestRunsAndArtifacts:
    def test_artifacts_are_kept_and_saved_apart(self, tmp_path):
        trainer = trained([vectors(), Panacea(harmful=data_rows())], SFT_LORA).trainer
        assert [a.name for a in trainer.artifacts] == ["security_vectors", "panacea"]
        assert [a.private for a in trainer.artifacts] == [True, True]
        saved = trainer.artifacts[1].save(tmp_path)
        assert (saved / "safety_patch" / "adapter_model.safetensors").is_file()

    def test_a_second_run_starts_anew_and_keeps_rates(self):
        trainer: Any = new_trainer([RoleRates(ratio=0.0)], weight_decay=0.1)
        start = weights_of(trainer.model)
        trainer.train()
        groups = len(trainer.optimizer.param_groups)
        trainer.train()
        now = weights_of(trainer.model)
        assert all(torch.equal(start[n], now[n]) for n in start if "q_proj" in n)
        assert len(trainer.optimizer.param_groups) == groups
        assert trainer.trace.counts["role_rates", "learning_rate"].calls == len(start)

    def test_a_run_after_an_error_is_whole(self):
        probe = KeptWeights()
        trainer: Any = new_trainer([probe])
        own, trainer.training_step = trainer.training_step, None
        with pytest.raises(TypeError):
            trainer.train()
        trainer.training_step = own
        trainer.train()
        assert trainer.trace.counts["kept_weights", "after_update"].calls == 4

    def test_private_state_lies_beside_the_output_folder(self):
        folder = new_folder()
        trained([vectors()], LORA, folder=folder, **SAVING)
        beside = folder.with_name(folder.name + "-artifacts") / "state"
        assert len(list(beside.glob("security_vectors-*.safetensors"))) == 1

    @pytest.mark.parametrize("keep_end_of_list", [True, False])
    def test_shares_of_a_step_sum_to_one(self, keep_end_of_list):
        shares: list[tuple[int, float]] = []

        @dataclass
        class Notes(Planted):
            def gradient(self, step, backward):
                shares.append((step.number, step.share))
                return backward()

        options = {"gradient_accumulation_steps": 2, "rows": 10}
        trained([Notes()], SFT_FULL if keep_end_of_list else FULL, **options)
        for number in range(4):
            assert sum(s for n, s in shares if n == number) == pytest.approx(1.0)

    def test_labels_on_every_token_are_counted_as_the_trainer_counts(self):
        """A language-modeling row has a label in the first place, which is never predicted."""
        shares: list[float] = []

        @dataclass
        class Notes(Planted):
            def gradient(self, step, backward):
                shares.append(step.share)
                return backward()

        trainer: Any = new_trainer([Notes()], gradient_accumulation_steps=2, max_steps=1)
        trainer.train_dataset = [
            {**row, "labels": list(row["input_ids"])} for row in trainer.train_dataset
        ]
        trainer.train()
        assert sum(shares) == pytest.approx(1.0)


class TestResume:
    def _saved(self, defenses, setting=LORA):
        folder = new_folder()
        trained(defenses, setting, folder=folder, **SAVING)
        return folder

    def test_with_other_defenses_is_refused(self):
        folder = self._saved([])
        with pytest.raises(ConfigError, match="written without planted"):
            trained([Planted()], LORA, folder=folder, resume=True, **SAVING)

    def test_without_the_private_state_is_refused(self):
        folder = self._saved([vectors()])
        beside = folder.with_name(folder.name + "-artifacts") / "state"
        for file in beside.iterdir():
            file.unlink()
        with pytest.raises(ConfigError, match="artifacts_dir="):
            trained([vectors()], LORA, folder=folder, resume=True, **SAVING)

    def test_with_a_changed_private_state_is_refused(self):
        folder = self._saved([vectors()])
        beside = folder.with_name(folder.name + "-artifacts") / "state"
        file = next(beside.glob("*.safetensors"))
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(bytes(content))
        with pytest.raises(ConfigError, match="was changed"):
            trained([vectors()], LORA, folder=folder, resume=True, **SAVING)

    def test_with_nothing_to_resume_is_refused(self):
        with pytest.raises(ConfigError, match="nothing to resume"):
            trained([], LORA, resume=True)

    def test_of_a_named_checkpoint(self):
        folder = self._saved([Planted()])
        resumed = trained([Planted()], LORA, resume=str(folder / "checkpoint-2"), **SAVING)
        assert gap(resumed.weights, trained([Planted()], LORA).weights) <= 1e-6

    @pytest.mark.parametrize("setting", [FULL, SFT_FULL])
    def test_its_log_counts_on(self, setting):
        """The first line was the mean of fewer steps, as TRL's figures, whose tokens began anew."""
        folder = new_folder()
        how = {**SAVING, "folder": folder, "logging_steps": 3, "max_steps": 6}
        whole = trained([], setting, **how).trainer.state.log_history
        again = trained([], setting, **how, resume=str(folder / "checkpoint-2"))
        names = ("step", "loss", "num_tokens", "entropy", "mean_token_accuracy")
        lines = [
            [{n: entry[n] for n in names if n in entry} for entry in log if "loss" in entry]
            for log in (whole, again.trainer.state.log_history)
        ]
        assert lines[0] == [pytest.approx(line) for line in lines[1]]

    def test_what_is_kept_apart_goes_with_its_checkpoint(self):
        """It stayed for every checkpoint that was ever written: a copy of the weights for each."""
        in_loop = Panacea(harmful=data_rows(), mode="in-loop", batch_size=2)
        folder = new_folder()
        how = {**SAVING, "save_steps": 1, "folder": folder}
        trained([in_loop], LORA, **how, save_total_limit=2)
        apart = folder.with_name(folder.name + "-artifacts")
        kept = sorted(path.name for path in (apart / "checkpoints").iterdir())
        assert kept == ["checkpoint-3", "checkpoint-4"]
        assert len(list((apart / "state").iterdir())) == 2 * len(kept)
        for name in kept:
            assert trained([in_loop], LORA, **how, resume=str(folder / name)).losses

    @pytest.mark.parametrize("moved", [True, False])
    def test_what_is_kept_apart_goes_with_a_checkpoint_that_is_written_anew(self, moved):
        """What the earlier one of the same step had kept apart stayed for good."""
        in_loop = Panacea(harmful=data_rows(), mode="in-loop", batch_size=2)
        how: dict[str, Any] = {"folder": new_folder(), "save_strategy": "steps", "save_steps": 1}
        apart = how["folder"].with_name(how["folder"].name + "-artifacts")
        roots = (apart / "checkpoints", how["folder"])
        for rates in ("linear", "constant"):
            trainer: Any = new_trainer([in_loop], LORA, **how, lr_scheduler_type=rates)
            trainer._holdfast.sets_apart = moved
            first = roots[0 if moved else 1] / "checkpoint-1"
            trainer.train(resume_from_checkpoint=str(first) if first.exists() else None)
        assert {path.stem for path in (apart / "state").iterdir()} == told_apart(*roots)

    @pytest.mark.parametrize("setting", [FULL, SFT_LORA])
    def test_from_the_last_step_takes_no_step_more(self, setting):
        """Killed behind its last checkpoint, inside an epoch, a run took a step beyond its end."""
        how = {**SAVING, "folder": new_folder(), "lr_scheduler_type": "constant"}
        whole = trained([RandomPerturbation()], setting, **how)
        again = trained([RandomPerturbation()], setting, resume=True, **how)
        assert differing(whole.weights, again.weights) == []
        assert again.losses == whole.losses
        assert again.trainer.state.global_step == whole.trainer.state.global_step == 4
