"""Touches of transformers and trl, against what they are relied upon for."""

import json

import pytest
from datasets import Dataset
from trl.trainer.sft_config import SFTConfig

from holdfast import SecureSFTTrainer
from holdfast.data.chat import encode
from holdfast.errors import ConfigError, ModelError
from holdfast.files.sealing.manifest import seal
from holdfast.training import compat
from tests.contract.runs import FULL, SFT_FULL, SFT_LORA, new_folder, new_trainer, user_rows
from tests.tiny import tiny_examples, tiny_model, tiny_tokenizer


def checkpoint(root, step, *, whole=True):
    folder = root / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    state = folder / "trainer_state.json"
    state.write_text(json.dumps({"global_step": step}) if whole else '{"global_')
    if whole:
        seal(folder)
    return folder


class TestWholeCheckpoint:
    @pytest.fixture
    def trainer(self):
        return new_trainer(None, FULL, folder=new_folder())

    @pytest.fixture
    def root(self, trainer):
        from pathlib import Path  # noqa: PLC0415

        return Path(trainer.args.output_dir)

    @pytest.mark.parametrize("wanted", [None, False])
    def test_nothing_asked_nothing_given(self, trainer, wanted):
        assert compat.whole_checkpoint(trainer, wanted) is None

    def test_the_last_whole_one_is_found_by_number(self, trainer, root):
        for step in (2, 10, 9):
            checkpoint(root, step)
        checkpoint(root, 12, whole=False)
        (root / "checkpoint-14").mkdir()
        assert compat.whole_checkpoint(trainer, True) == root / "checkpoint-10"

    def test_none_is_an_error(self, trainer):
        with pytest.raises(ConfigError, match="no whole checkpoint in"):
            compat.whole_checkpoint(trainer, True)

    def test_a_named_one_must_be_whole(self, trainer, root):
        good = checkpoint(root, 2)
        assert compat.whole_checkpoint(trainer, str(good)) == good
        with pytest.raises(ConfigError, match="cannot resume from"):
            compat.whole_checkpoint(trainer, str(checkpoint(root, 4, whole=False)))
        with pytest.raises(ConfigError, match="cannot resume from"):
            compat.whole_checkpoint(trainer, str(root / "checkpoint-99"))


class TestPrepared:
    @pytest.mark.parametrize("setting", [SFT_FULL, SFT_LORA, FULL], ids=str)
    def test_a_defenses_rows_become_what_the_users_became(self, setting):
        trainer = new_trainer(None, setting)
        ready = compat.prepared(trainer, [dict(row) for row in user_rows()])
        pairs = zip(ready, trainer.train_dataset, strict=True)
        assert all(ours["input_ids"] == theirs["input_ids"] for ours, theirs in pairs)
        ours, theirs = (
            trainer.data_collator([dict(rows[0]), dict(rows[3])])["labels"]
            for rows in (ready, trainer.train_dataset)
        )
        assert ours.tolist() == theirs.tolist()
        assert 0 < ours.ne(-100).sum() < ours.numel()

    @pytest.mark.parametrize("setting", [SFT_FULL, FULL], ids=str)
    def test_extra_columns_are_dropped_and_data_sets_taken(self, setting):
        rows = user_rows().add_column("labels", ["sums"] * 12).add_column("text", ["x"] * 12)
        trainer = new_trainer(None, setting)
        ready = compat.prepared(trainer, rows)
        assert len(ready) == 12
        batch = trainer.data_collator([dict(ready[0])])
        own = trainer.data_collator([dict(trainer.train_dataset[0])])
        assert batch["labels"].tolist() == own["labels"].tolist()

    def test_tokenized_rows_stay(self):
        rows = [{"input_ids": [1, 2], "labels": [-100, 2]}]
        assert compat.prepared(new_trainer(None, FULL), rows) is rows

    @pytest.mark.parametrize("kind", ["numpy", "torch", "transformed"])
    def test_data_sets_that_show_rows_otherwise_are_prepared_the_same(self, kind):
        """TRL ended in a traceback at arrays of messages, and at a transform."""
        rows = user_rows(4)
        shown = rows.with_format(kind) if kind != "transformed" else rows.with_transform(dict)
        trainer = new_trainer(None, SFT_LORA)
        assert list(compat.prepared(trainer, shown)) == list(compat.prepared(trainer, rows))

    def test_a_trainer_without_a_tokenizer_says_so(self):
        trainer = new_trainer(None, FULL)
        trainer.processing_class = None
        with pytest.raises(ModelError, match="processing_class="):
            compat.prepared(trainer, list(user_rows()))


def test_one_process_is_not_distributed():
    assert compat.is_distributed(new_trainer(None, FULL)) is None


def test_defender_rows_are_answers_only_beside_whole_conversations():
    whole = [{"messages": r["prompt"] + r["completion"]} for r in tiny_examples(4)]
    args = SFTConfig(output_dir="unused", report_to="none", use_cpu=True, bf16=False)
    trainer = SecureSFTTrainer(
        model=tiny_model(),
        args=args,
        train_dataset=Dataset.from_list(whole),
        processing_class=tiny_tokenizer(),
    )
    row = compat.prepared(trainer, tiny_examples(2))[0]
    ours = encode(tiny_examples(2)[0], tiny_tokenizer(), None)
    assert list(row["labels"]) == ours["labels"]
