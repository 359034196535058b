"""Defenses beside TRL's other trainers: each works, or is refused before anything runs."""

import pytest
import torch
from datasets import Dataset
from transformers import DataCollatorForLanguageModeling, DataCollatorForSeq2Seq, Trainer
from transformers.trainer_utils import set_seed

from holdfast import Panacea, SafeMixing, SecurityVectors, protect
from holdfast.errors import ConflictError, DataError, HoldfastError, ModelError
from holdfast.testing.runs import tokenizer
from holdfast.training.foreign.generating import generates
from tests.contract.foreign_trainers import FOREIGN
from tests.contract.recipes import data_rows, recipes
from tests.contract.runs import (
    FULL,
    SFT_FULL,
    differing,
    gap,
    new_trainer,
    plain,
    user_rows,
    weights_of,
)

pytestmark = pytest.mark.thorough  # Many like cases: left out of `make test-fast`.

FIRST = {recipe.cls.card.name: recipe for recipe in reversed(recipes())}
_ROWS = {"constrained_sft", "row_weights", "safe_mixing", "vaccine"}
_SAMPLED = _ROWS | {"lisa", "preventative_steering", "security_vectors"}
REFUSED = {
    "dpo": _ROWS,
    "kto": _ROWS,
    "orpo": _ROWS,
    "reward": _SAMPLED | {
        "booster", "memory_anchor", "natural_repair", "one_shot", "panacea", "refusal_sft", "resta",
        "safe_delta", "safe_grad", "safety_projection", "state_anchor",
    },
    "grpo": _SAMPLED,
    "rloo": _SAMPLED,
}  # fmt: skip
"""Trainer → defenses that have no meaning on its rows, loss or model."""


@pytest.mark.parametrize("kind", FOREIGN)
def test_every_defense_works_or_is_refused_by_protect(kind):
    """Fault C1: a KeyError at step 0, or after the whole run, beside a preference trainer."""
    trainer = FOREIGN[kind]()
    refused: set[str] = set()
    for name, make in FIRST.items():
        try:
            protect(trainer, [make()])
        except HoldfastError as error:
            assert name in str(error)  # noqa: PT017
            refused.add(name)
    assert refused == REFUSED[kind]


@pytest.mark.parametrize("kind", FOREIGN)
def test_no_defense_is_the_trainer_itself(kind):
    """Fault C2: GRPO and RLOO crashed on `_step` even without a defense."""
    weights = []
    for wrap in (False, True):
        trainer = FOREIGN[kind]()
        set_seed(3)
        (protect(trainer, []) if wrap else trainer).train()
        weights.append(weights_of(trainer.model))
    assert not differing(*weights)


@pytest.mark.parametrize("name", ["security_vectors", "panacea", "lisa", "booster", "resta"])
def test_rows_of_the_defender_are_read_beside_pairs(name):
    """Fault C1: DPOTrainer's collator has no place for the defender's rows."""
    trainer = protect(FOREIGN["dpo"](), [FIRST[name]()])
    start = weights_of(trainer.model)
    trainer.train()
    assert differing(start, weights_of(trainer.model))


@pytest.mark.parametrize("kind", ["grpo", "rloo"])
def test_generating_trainers_run_hooks_of_the_gradient(kind):
    """Fault C2: one attribute of two owners; hooks run once per update beside theirs."""
    defense = Panacea(harmful=data_rows(), mode="in-loop", rho=0.1, lam=0.1)
    trainer = protect(FOREIGN[kind](), [defense])
    trainer.train()
    assert trainer._step == 3  # TRL's own count of micro-batches.
    assert trainer.trace.counts["panacea", "gradient"].calls == 3


def collated(collator, **options):
    trainer = new_trainer(None, FULL, **options)
    trainer.data_collator = collator
    return trainer


def lm(rows):
    """Collate for language modeling: whatever has a token has a label."""
    ids = [{"input_ids": row["input_ids"]} for row in rows]
    return DataCollatorForLanguageModeling(tokenizer(), mlm=False)(ids)


def panacea():
    return Panacea(harmful=data_rows(), batch_size=3)


class TestCollators:
    def test_the_defenders_rows_keep_their_masks(self):
        """Fault C4: a language-modeling collator put labels on the defender's prompts."""
        trainer = protect(collated(lm), [panacea()])
        batch = trainer._holdfast_run().batches(data_rows(), 3)[0]
        reference = protect(new_trainer(None, SFT_FULL), [panacea()])
        expected = reference._holdfast_run().batches(data_rows(), 3)[0]
        assert batch["labels"].tolist() == expected["labels"].tolist()
        assert batch["input_ids"].tolist() == expected["input_ids"].tolist()
        trainer.train()

    def test_a_collator_that_cannot_pad_is_no_matter(self):
        """Fault C4: the default collator failed at the defender's rows after the last step."""
        rows = new_trainer(None, FULL).train_dataset
        wide = max(len(row["input_ids"]) for row in rows)
        even = [
            {k: [*v, *[0 if k == "input_ids" else -100] * (wide - len(v))] for k, v in r.items()}
            for r in rows
        ]
        from transformers import default_data_collator  # noqa: PLC0415

        trainer = collated(default_data_collator)
        trainer.train_dataset = Dataset.from_list(even)
        protect(trainer, [panacea()]).train()
        assert trainer.artifacts[0].report["norm"] > 0

    def test_mixing_is_refused_where_labels_would_be_lost(self):
        """Fault C4: mixed-in refusals were learned with the harmful prompts before them."""
        with pytest.raises(ConflictError, match=r"safe_mixing: `safe`.*replaces their labels"):
            protect(collated(lm), [SafeMixing(safe=data_rows(), share=0.5)])

    def test_mixing_is_refused_where_labels_cannot_be_padded(self):
        stock = DataCollatorForLanguageModeling(tokenizer(), mlm=False)
        with pytest.raises(ConflictError, match=r"safe_mixing: `safe`.*collator refuses them"):
            protect(collated(stock), [SafeMixing(safe=data_rows(), share=0.5)])

    def test_mixing_works_where_labels_are_kept(self):
        kept = DataCollatorForSeq2Seq(tokenizer())
        protect(collated(kept), [SafeMixing(safe=data_rows(), share=0.5)]).train()

    def test_a_stock_collator_is_as_it_was(self):
        """The defender's batches are those of the user's preparation where that is known."""
        for setting in (FULL, SFT_FULL):
            trainer = new_trainer([panacea()], setting)
            run = trainer._holdfast_run()
            ready = run.prepare(data_rows())
            theirs = run.collate([dict(ready[i]) for i in range(3)])
            ours = run.batches(data_rows(), 3)[0]
            assert {k: v.tolist() for k, v in ours.items()} == {k: theirs[k].tolist() for k in ours}

    def test_an_own_collator_of_sft_is_not_asked(self):
        """Fault C4: the user's own collator decided the labels of the defender's rows."""
        trainer = new_trainer(None, SFT_FULL)
        own = trainer.data_collator

        def collator(rows):
            batch = own(rows)
            return {**batch, "labels": batch["input_ids"].clone()}

        trainer.data_collator = collator
        protect(trainer, [panacea()])
        labels = trainer._holdfast_run().batches(data_rows(), 3)[0]["labels"]
        assert bool((labels[:, 0] == -100).all())


class TestRowsBeforeStep0:
    def test_a_trainer_without_a_tokenizer_is_refused(self):
        """Fault C4: it was found out after the last step."""
        trainer = new_trainer(None, FULL)
        trainer.processing_class = None
        with pytest.raises(ModelError, match=r"panacea: `harmful`.*processing_class="):
            protect(trainer, [panacea()])

    def test_rows_that_are_no_examples_are_refused(self):
        """Fault C4: a KeyError after the last step."""
        with pytest.raises(DataError, match=r"panacea: `harmful`, row 1.*columns question"):
            protect(new_trainer(None, FULL), [Panacea(harmful=[{"question": "x"}])])

    def test_rows_cut_to_nothing_are_refused(self):
        """Fault C4: rows without an answer left gave a loss of NaN after the last step."""
        with pytest.raises(DataError, match=r"panacea: `harmful`: of 6 rows none .*max_length=2"):
            protect(new_trainer(None, SFT_FULL, max_length=2), [panacea()])

    def test_a_template_of_the_trainer_is_used(self):
        """GRPO and RLOO give their chat template options of their own."""
        trainer = FOREIGN["grpo"]()
        trainer.args.chat_template_kwargs = {"add_generation_prompt": False}
        trainer.chat_template = "{% for m in messages %}{{ m['content'] }} {% endfor %}"
        protect(trainer, [])
        rows = trainer._holdfast_run().encoded(data_rows())
        text = tokenizer().decode(rows[0]["input_ids"])
        assert "user" not in text
        assert text.strip()

    def test_off_asks_for_nothing(self):
        trainer = new_trainer(None, FULL)
        trainer.processing_class = None
        protect(trainer, [Panacea(rho=0.0, harmful=data_rows())]).train()
        assert gap(weights_of(trainer.model), plain(FULL).weights) == 0


def test_a_dataset_of_text_has_no_place_for_token_rows():
    """Fault C4: token rows were mixed into rows that a collator tokenizes itself."""

    def collator(rows):
        made = tokenizer()([row["text"] for row in rows], padding=True, return_tensors="pt")
        return {**made, "labels": made["input_ids"]}

    trainer = collated(collator, remove_unused_columns=False)
    trainer.train_dataset = [{"text": row["prompt"][0]["content"]} for row in user_rows()]
    with pytest.raises(ConflictError, match="collator refuses them"):
        protect(trainer, [SafeMixing(safe=data_rows(), share=0.5)])
    open_gate = {"max_harmful_nll": 1e9, "max_benign_kl": 1e9, "epochs": 1}
    protect(trainer, [SecurityVectors(harmful=data_rows(), benign=data_rows(), **open_gate)])
    assert isinstance(trainer, Trainer)
    trainer.train()


class Asks(Trainer):
    """Writes the rows of a step with the model, by a detour."""

    def training_step(self, model, inputs, num_items_in_batch=None):
        return super().training_step(model, self.written(model, inputs), num_items_in_batch)

    @staticmethod
    def written(model, inputs):
        with torch.no_grad():
            longer = [model.generate(**inputs, max_new_tokens=1) for _ in range(1)]
        return {"input_ids": longer[0], "labels": longer[0]}


class Moves(Trainer):
    """Prepares inputs in a way of its own, and writes nothing."""

    def _prepare_inputs(self, inputs):
        return super()._prepare_inputs({k: v for k, v in inputs.items() if k != "unused"})


@pytest.mark.parametrize("name", ["security_vectors", "lisa", "vaccine", "constrained_sft"])
def test_who_writes_rows_with_the_model_is_found_by_what_a_step_calls(name):
    """Fault C2: GKD and Online DPO wrote their rows with the vector on, and Lisa crashed beside."""
    own = FIRST[name]()
    with pytest.raises(ConflictError, match=f"{name}.*Asks writes its own training rows"):
        protect(new_trainer(None, FULL, cls=Asks), [own])
    protect(new_trainer(None, FULL, cls=Moves), [FIRST[name]()]).train()


@pytest.mark.parametrize("kind", FOREIGN)
def test_generating_trainers_are_told_from_others(kind):
    """Fault C2: what a trainer does with its rows was guessed from one method alone."""
    assert generates(type(FOREIGN[kind]())) is (kind in ("grpo", "rloo"))
