"""Packed rows, joined rows, and a loader that does not hold the rows of the defenses."""

from functools import partial

import pytest
import torch
from datasets import Dataset
from torch.utils.data import DataLoader, SubsetRandomSampler, TensorDataset
from transformers import DataCollatorWithFlattening, Trainer

from holdfast import ConstrainedSFT, Panacea, SafeMixing, protect
from holdfast.data.chat import collate
from holdfast.errors import ConfigError, ConflictError
from holdfast.ops.agreement import agreement
from holdfast.ops.batches import count_examples
from holdfast.ops.engine import LocalEngine
from holdfast.organism.scenarios import harmless_prompts
from holdfast.testing.runs import FULL, SFT_LORA, Setting, new_trainer
from holdfast.training.looks.users_rows import told_apart
from tests.contract.recipes import data_rows
from tests.tiny import tiny_model
from tests.unit.defenses.tiny_runs import BENIGN, USER, encoded

SFT_FULL = Setting("SFTTrainer")
FREE = {"padding_free": True, "max_length": None}
STRATEGIES = ("bfd", "bfd_split", "wrapped")


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize(
    "make", [lambda: SafeMixing(safe=data_rows(), share=0.5), ConstrainedSFT], ids=["mix", "sft"]
)
def test_a_defense_of_single_rows_refuses_packing(make, strategy):
    """Fault B7: of packed data safe_mixing took its share of the packs, 5 of 40 rows."""
    options = {"packing": True, "packing_strategy": strategy, "max_length": 64}
    trainer = new_trainer([make()], SFT_FULL, **options)
    with pytest.raises(ConflictError, match=rf"rows one by one: `packing=True` \({strategy}\)"):
        trainer.train()
    assert trainer.state.global_step == 0


@pytest.mark.parametrize(
    "column", [{"seq_lengths": [5, 5]}, {"position_ids": [*range(5), *range(5)]}]
)
def test_rows_that_the_user_packed_are_refused(column):
    """Fault B7: rows packed before the trainer saw them."""
    row = {"input_ids": [7] * 10, "labels": [-100] + [7] * 9, **column}
    trainer = new_trainer([SafeMixing(safe=data_rows(), share=0.5)], FULL)
    trainer.train_dataset = Dataset.from_list([row] * 4)
    with pytest.raises(ConflictError, match="one row holds several"):
        trainer.train()


@pytest.mark.parametrize("size", [1, 5])
def test_constrained_sft_refuses_padding_free_whatever_its_own_size(size):
    """Fault B7: with one row per reference pass, no row of a flattened batch was found again."""
    trainer = new_trainer(
        [ConstrainedSFT(batch_size=size)], SFT_FULL, padding_free=True, max_length=None
    )
    with pytest.raises(ConfigError, match="padding_free=False"):
        trainer.train()


def test_safe_mixing_adds_its_share_without_padding():
    trainer = new_trainer(
        [SafeMixing(safe=data_rows(), share=0.5)], SFT_FULL, padding_free=True, max_length=None
    )
    seen = []
    trainer.add_callback(Watch(lambda: seen.append(len(trainer.train_dataset))))
    trainer.train()
    assert seen == [18]


class Watch:
    """A callback that runs a function when training begins."""

    def __init__(self, run):
        self._run = run

    def __getattr__(self, name):
        if not name.startswith("on_"):
            raise AttributeError(name)
        return (lambda *_, **__: self._run()) if name == "on_train_begin" else lambda *_, **__: None


@pytest.mark.parametrize("marks", [{}, {"return_position_ids": False, "return_seq_idx": True}])
def test_a_flattened_batch_counts_as_its_rows_do(marks):
    """Fault B7: exact answers were counted per flattened batch, not per row."""
    model = tiny_model()
    rows = encoded(USER + BENIGN)
    for row in rows[:7]:  # The model's own first choice, so that some rows are exact.
        start = next(i for i, y in enumerate(row["labels"]) if y != -100)
        ids = row["input_ids"][:start]
        with torch.no_grad():
            best = int(model(torch.tensor([ids])).logits[0, -1].argmax())
        row["input_ids"], row["labels"] = [*ids, best], [*[-100] * start, best]
    padded = [collate(rows[i : i + 4], 0) for i in range(0, len(rows), 4)]
    flat = DataCollatorWithFlattening(**marks)
    joined = [flat(rows[i : i + 4]) for i in range(0, len(rows), 4)]
    assert [count_examples(b) for b in joined] == [count_examples(b) for b in padded]
    engine = LocalEngine(model)
    one, other = agreement(engine, padded), agreement(engine, joined)
    assert 0.3 < one[1] < 0.5
    if not marks:  # Without positions the rows would see one another.
        assert other == pytest.approx(one, abs=1e-5)


@pytest.mark.parametrize("options", [FREE, {"packing": True, "max_length": 64}])
def test_the_task_budget_of_panacea_binds_without_padding(options):
    """Fault B7: one wrong token made a whole batch wrong, so a drop of the score did not show."""
    rows = harmless_prompts(8)

    def points(**more):
        defense = Panacea(harmful=data_rows(), validation=rows, rho=3.0, batch_size=4)
        trainer = new_trainer([defense], SFT_LORA, max_steps=1, learning_rate=0.0, **more)
        trainer.train()
        return trainer.artifacts[0].documents["perturbation"]["frontier"]

    for one, other in zip(points(), points(**options), strict=True):
        assert one == pytest.approx(other, abs=1e-4)


def test_a_collator_that_joins_and_does_not_say_where_is_refused():
    """Fault B7: where rows begin cannot be guessed."""

    def joins(rows):
        tokens = [y for row in rows for y in row["input_ids"]]
        labels = [y for row in rows for y in row["labels"]]
        return {"input_ids": torch.tensor([tokens]), "labels": torch.tensor([labels])}

    row = {"input_ids": [1, 2], "labels": [-100, 2]}
    with pytest.raises(ConfigError, match="made 1 rows of 3"):
        told_apart(joins)([row, row, row])
    trainer = new_trainer([Panacea(harmful=data_rows(), batch_size=3)], FULL, max_steps=1)
    trainer.data_collator = joins
    trainer.train()  # The defender's rows do not go through it.
    assert trainer.artifacts


def loader_of(rows, **options):
    return DataLoader(rows, batch_size=2, collate_fn=partial(collate, pad_id=0), **options)


def kept(trainer, turn=lambda _, loader: loader):
    given = list(trainer.train_dataset)  # As it was before the defense came.
    return lambda self: turn(self, loader_of(given))


def some(self):
    return loader_of(self.train_dataset, sampler=SubsetRandomSampler(range(12)))


LOADERS = {
    "rows kept from before": kept,
    "as many rows, others": lambda _: lambda self: loader_of(list(self.train_dataset)[:12] * 2),
    "prepared": lambda t: kept(t, lambda self, loader: self.accelerator.prepare(loader)),
    "some of them": lambda _: some,
    "a list of batches": lambda t: kept(t, lambda _, loader: list(loader)),
    "a generator": lambda t: kept(t, lambda _, loader: iter(loader)),
    "no rows at all": lambda _: lambda self: DataLoader(TensorDataset(torch.zeros(24, 3))),
}


def with_loader(make_loader, defense):
    trainer = new_trainer(None, FULL)
    kind = type("Own", (Trainer,), {"get_train_dataloader": make_loader(trainer)})
    trainer.__class__ = kind
    return protect(trainer, [defense])


@pytest.mark.parametrize("kind", LOADERS)
def test_a_loader_that_does_not_hold_the_rows_is_refused(kind):
    """Fault B11: nothing was mixed into an own loader, and the trace said it ran."""
    trainer = with_loader(LOADERS[kind], SafeMixing(safe=data_rows(), share=1.0))
    with pytest.raises(ConflictError, match="safe_mixing acts on the training rows"):
        trainer.train()
    assert trainer.state.global_step == 0


def test_every_defense_that_reads_rows_looks_at_the_loader():
    """Fault B11: constrained SFT looked up rows that were never loaded."""
    other = [dict(row) for row in encoded(BENIGN)] * 2
    trainer = with_loader(lambda _: lambda self: loader_of(other[:12]), ConstrainedSFT())
    with pytest.raises(ConflictError, match="constrained_sft acts on the training rows"):
        trainer.train()


def test_a_loader_that_was_set_on_the_object_is_refused():
    """Fault B11: a patched object keeps its own loader, whatever its class does."""
    trainer = new_trainer([SafeMixing(safe=data_rows(), share=1.0)], FULL)
    rows = list(trainer.train_dataset)
    trainer.get_train_dataloader = lambda: loader_of(rows)
    with pytest.raises(ConflictError, match="was set on this trainer object"):
        trainer.train()


@pytest.mark.parametrize("prepared", [False, True])
def test_an_own_loader_of_the_right_rows_is_taken(prepared):
    def make(_):
        def loader(self):
            made = loader_of(self.train_dataset, shuffle=True)
            return self.accelerator.prepare(made) if prepared else made

        return loader

    trainer = with_loader(make, SafeMixing(safe=data_rows(), share=1.0))
    trainer.train()
    assert trainer.state.global_step == 4


@pytest.mark.parametrize("setting", [FULL, SFT_LORA])
def test_a_run_in_order_that_ends_before_the_rows_that_were_added_is_refused(setting):
    """The weights were those of plain training, bit for bit, and the trace said that it ran."""
    order = {"train_sampling_strategy": "sequential"}
    count = len(new_trainer([], setting).train_dataset)
    made = SafeMixing(safe=data_rows(), share=0.5)
    for short in ({"max_steps": count // 2}, {"max_steps": -1, "num_train_epochs": 0.5}):
        trainer = new_trainer([made], setting, **order, **short)
        with pytest.raises(ConflictError, match=r"added \d+ rows .* ends before the first of them"):
            trainer.train()
        assert trainer.state.global_step == 0
    new_trainer([made], setting, **order, max_steps=count // 2 + 1).train()  # It comes to one.
    new_trainer([made], setting, max_steps=1).train()  # Shuffled.


@pytest.mark.parametrize("prepared", [False, True])
def test_an_own_loader_in_order_must_come_to_the_rows_that_were_added(prepared):
    def make(_):
        def loader(self):
            made = loader_of(self.train_dataset)
            return self.accelerator.prepare(made) if prepared else made

        return loader

    trainer = with_loader(make, SafeMixing(safe=data_rows(), share=1.0))
    trainer.args.max_steps = 1
    with pytest.raises(ConflictError, match=r"safe_mixing added .* shuffle the rows"):
        trainer.train()
    with_loader(make, ConstrainedSFT()).train()


def test_without_a_data_hook_no_loader_is_looked_at():
    trainer = with_loader(kept, Panacea(harmful=data_rows(), batch_size=3))
    trainer.train()


def test_positions_say_where_examples_begin():
    batch = {
        "input_ids": torch.zeros(1, 6, dtype=torch.long),
        "labels": torch.tensor([[-100, 1, 1, -100, 1, 1]]),
    }
    assert count_examples(batch) == 1
    assert count_examples({**batch, "position_ids": torch.tensor([[0, 1, 2, 0, 1, 2]])}) == 2
    assert count_examples({**batch, "seq_idx": torch.tensor([[0, 0, 0, 1, 1, 1]])}) == 2
    assert count_examples({**batch, "cu_seq_lens_q": torch.tensor([0, 3, 6])}) == 2
    assert count_examples({"pixels": torch.zeros(1)}) is None
