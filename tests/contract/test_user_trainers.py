"""Every registered defense under what users do with their trainers."""

import pytest
from transformers import Trainer, TrainingArguments
from transformers.trainer_utils import HPSearchBackend

from holdfast import Panacea, SecureTrainer, protect
from holdfast.errors import ConfigError
from holdfast.testing.runs import new_folder, tiny_model
from tests.contract import user_checks
from tests.contract.probes import KeptWeights, Planted, RoleRates, SameLossAgain
from tests.contract.recipes import data_rows, recipes
from tests.contract.runs import FULL, SFT_LORA, differing, new_trainer, weights_of

pytestmark = pytest.mark.thorough  # Many like cases: left out of `make test-fast`.

RECIPES = recipes()
FIRST = list({recipe.cls: recipe for recipe in reversed(RECIPES)}.values())
IN_LOOP = [recipe for recipe in RECIPES if recipe.label.startswith("panacea-in-loop")]
LEARNED = [recipe for recipe in FIRST if recipe().state()] + IN_LOOP
PROBES = [Planted, SameLossAgain, KeptWeights, lambda: RoleRates(ratio=0.3)]
every_first = pytest.mark.parametrize("make", FIRST, ids=lambda r: r.label)


@every_first
def test_model_init(make):
    """Fault B1: the defenses were built on a model that train() then threw away."""
    user_checks.check_model_init(make)


@pytest.mark.parametrize("make", PROBES)
def test_model_init_and_every_hook(make):
    """Fault B1: the trace said that the hook ran, on other weights than those trained."""
    user_checks.check_model_init(make)


@pytest.mark.parametrize("make", LEARNED, ids=lambda r: r.label)
def test_best_checkpoint(make):
    """Fault B4: what the last step had learned was put on the best checkpoint's weights."""
    user_checks.check_best_checkpoint(make, FULL)


@pytest.mark.parametrize("make", IN_LOOP[:1], ids=lambda r: r.label)
def test_best_checkpoint_of_an_adapter(make):
    """Fault B4: as above."""
    user_checks.check_best_checkpoint(make, SFT_LORA)


@every_first
def test_a_loss_an_optimizer_and_a_collator_of_the_users_own(make):
    user_checks.check_own(make)


@every_first
def test_looking_changes_nothing(make):
    user_checks.check_looking_changes_nothing(make, FULL)


def fresh():
    """Return the model that every run starts from."""
    return tiny_model()


class Trial:
    """A trial of a hyperparameter search."""

    number, params = 0, {"learning_rate": 5e-3, "seed": 5}


def search(trainer):
    trainer.model_init = fresh
    trainer.hp_search_backend = HPSearchBackend.OPTUNA
    trainer.hp_space = lambda trial: trial.params
    trainer.hp_name = None
    return trainer


def test_a_trial_of_a_search_is_defended_at_its_own_settings(monkeypatch):
    """Fault B1: each trial of a search trained a new model that no defense was on."""
    monkeypatch.setattr("transformers.integrations.hp_params", lambda trial: trial.params)
    defenses = [Planted(), Panacea(harmful=data_rows(), batch_size=3)]
    trainer = search(protect(new_trainer(None, FULL), defenses))
    weights = []
    for _ in range(2):
        trainer.train(trial=Trial())
        assert trainer.trace.counts["planted", "gradient"].calls == 4
        assert trainer.artifacts[0].report["norm"] > 0
        weights.append(weights_of(trainer.model))
    assert trainer.args.seed == 5
    assert trainer.args.learning_rate == 5e-3
    plain = search(new_trainer(None, FULL))
    plain.train(trial=Trial())
    assert differing(weights[0], weights_of(plain.model))


def test_the_constructor_takes_model_init():
    """Fault B1: as it is written in a script."""
    stock = new_trainer(None, FULL)
    args = TrainingArguments(
        str(new_folder()), max_steps=2, report_to="none", use_cpu=True, disable_tqdm=True,
        save_strategy="no", seed=3,
    )  # fmt: skip
    options = {"train_dataset": stock.train_dataset, "data_collator": stock.data_collator}
    plain = Trainer(model_init=fresh, args=args, **options)
    ours = SecureTrainer(model_init=fresh, args=args, defenses=[Planted()], **options)
    for trainer in (plain, ours):
        trainer.train()
    assert differing(weights_of(plain.model), weights_of(ours.model))


def test_a_model_exchanged_inside_train_is_refused():
    """Fault B1: any other way to another model after the defenses were built."""

    class Exchanging(Trainer):
        def train(self, **kwargs):
            self.model = self.model_wrapped = tiny_model(seed=1)
            return super().train(**kwargs)

    trainer = protect(new_trainer(None, FULL, cls=Exchanging), [Planted()])
    with pytest.raises(ConfigError, match="exchanged the model"):
        trainer.train()


def test_a_resumed_run_makes_its_model_again():
    """Fault B1: resuming, with what the checkpoint knows put on the new model."""
    folder, saving = new_folder(), user_checks.SAVING
    whole = new_trainer([KeptWeights()], FULL, folder=folder, **saving)
    whole.model_init = fresh
    whole.train()
    again = new_trainer([KeptWeights()], FULL, **saving)
    again.model_init = lambda: tiny_model(seed=9)
    again.train(resume_from_checkpoint=str(folder / "checkpoint-2"))
    assert not differing(weights_of(whole.model), weights_of(again.model))
