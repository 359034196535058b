"""Prompts of the analysis: checked, without repeats, and the same through every kind of run."""

from types import SimpleNamespace

import pytest
from datasets import Dataset
from transformers import DataCollatorForLanguageModeling
from trl import SFTConfig

from holdfast import Defense, SecureSFTTrainer
from holdfast.analysis.probing.prompts import Prompts, of_run, with_tokenizer
from holdfast.defense import Card, Stage
from holdfast.errors import DataError
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.analysis.tiny_analysis import BENIGN, HARMFUL, THINGS, prompts
from tests.unit.defenses.tiny_runs import USER, encoded, example, trainer_of

OOD = [example(f"tell me {n} {thing}", "no") for n in range(2) for thing in THINGS]
OOD_BENIGN = [example(f"what is {a} minus {b}", "0") for a in range(5) for b in range(5)]


def checked(*sets):
    return Prompts.checked(with_tokenizer(tiny_tokenizer()), *sets)


def test_they_end_where_the_model_answers():
    tokenizer = tiny_tokenizer()
    found = prompts()
    assert tokenizer.decode(found.benign[0]).endswith("<assistant>")
    assert (len(found.harmful), len(found.benign)) == (len(HARMFUL), len(BENIGN))
    assert found.harmful_ood == found.benign_ood == []


def test_repeats_count_once():
    again = [example(HARMFUL[0]["prompt"][0]["content"].upper() + "  ", "no")]
    assert checked([*HARMFUL, *again], BENIGN) == checked(HARMFUL, BENIGN)
    with pytest.raises(DataError, match="harmful: has 19 different prompts, expected 20"):
        checked(HARMFUL[:19] * 2, BENIGN)


@pytest.mark.parametrize(
    ("sets", "said"),
    [
        ((HARMFUL, []), "benign: has 0 different"),
        ((None, BENIGN), "harmful: has 0 different"),
        ((HARMFUL, BENIGN[:19]), "benign: has 19 different"),
        ((HARMFUL, [*BENIGN, HARMFUL[3]]), "benign, row 29: has the same prompt as harmful, row 4"),
        ((HARMFUL, BENIGN, OOD, None), "one class only"),
        ((HARMFUL, BENIGN, OOD[:5], OOD_BENIGN), "out-of-domain harmful: has 5"),
        ((HARMFUL, BENIGN, [*OOD, HARMFUL[0]], OOD_BENIGN), "same prompt as harmful, row 1"),
        ((encoded(), BENIGN), "harmful, row 1: has no prompt"),
    ],
)
def test_what_cannot_train_a_probe_is_refused(sets, said):
    with pytest.raises(DataError, match=said):
        checked(*sets)


def test_out_of_domain_sets_are_kept_apart():
    found = checked(HARMFUL, BENIGN, OOD, OOD_BENIGN)
    assert (len(found.harmful_ood), len(found.benign_ood)) == (len(OOD), len(OOD_BENIGN))
    assert found.harmful == prompts().harmful


class Reader(Defense):
    """Reads the analysis' prompts through a run."""

    card = Card("reader", "reads", Stage.TUNE, "control", strength="on", cost="none")
    on = 1.0
    found = None

    def before(self, run):
        self.found = Prompts.checked(of_run(run), HARMFUL, Dataset.from_list(BENIGN))

    def config(self):
        return {}


class TestThroughARun:
    def test_of_the_plain_trainer(self, tmp_path):
        reader = Reader()
        trainer_of(tmp_path, [reader], max_steps=1).train()
        assert reader.found == prompts()

    def test_with_a_collator_that_labels_the_prompt_too(self, tmp_path):
        reader = Reader()
        trainer = trainer_of(tmp_path, [reader], max_steps=1)
        rows = [{"input_ids": row["input_ids"]} for row in encoded()]
        trainer.train_dataset = Dataset.from_list(rows)
        trainer.data_collator = DataCollatorForLanguageModeling(
            tiny_tokenizer(), mlm=False, pad_to_multiple_of=8
        )
        trainer.train()
        assert reader.found == prompts()

    @pytest.mark.parametrize(
        "options", [{}, {"pad_to_multiple_of": 16}, {"completion_only_loss": False}]
    )
    def test_of_the_sft_trainer(self, tmp_path, options):
        reader = Reader()
        sft(tmp_path, reader, **options).train()
        assert reader.found == prompts()

    def test_prompts_cut_before_their_answers_are_refused(self, tmp_path):
        with pytest.raises(DataError, match=r"drops \d+ of 28 rows of the analysis.*max_length"):
            sft(tmp_path, Reader(), max_length=11).train()

    def test_rows_that_do_not_show_where_answers_start_are_refused(self):
        rows = [{"input_ids": [1, 2], "labels": [-100, -100]}, {"input_ids": [1], "labels": [1]}]
        for row in (*rows, {"input_ids": [1, 2]}):
            run = SimpleNamespace(encoded=lambda _, row=row: [row])
            with pytest.raises(DataError, match=r"prompt 1 of the analysis.*max_length"):
                of_run(run)(HARMFUL[:1])


def sft(folder, reader, **options):
    arguments = SFTConfig(
        str(folder), max_steps=1, per_device_train_batch_size=4, save_strategy="no",
        report_to="none", use_cpu=True, bf16=False, disable_tqdm=True, **options,
    )  # fmt: skip
    return SecureSFTTrainer(
        model=tiny_model(), args=arguments, train_dataset=Dataset.from_list(USER),
        processing_class=tiny_tokenizer(), defenses=[reader],
    )  # fmt: skip
