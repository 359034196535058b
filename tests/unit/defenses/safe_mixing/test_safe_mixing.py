"""Refusals mixed in: exact counts, and rows that really reach the model."""

from collections import Counter

import pytest
from datasets import Dataset
from transformers import TrainerCallback
from trl import SFTConfig

from holdfast import SafeMixing, SecureSFTTrainer
from holdfast.defenses.safe_mixing import rows_to_add
from holdfast.errors import ConfigError
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import (
    REFUSALS,
    USER,
    encoded,
    farthest,
    trained,
    trainer_of,
    weights_of,
)


@pytest.mark.parametrize(
    ("user", "share", "count"), [(100, 0.1, 10), (8, 0.5, 4), (8, 0.0, 0), (3, 0.1, 0), (7, 1, 7)]
)
def test_the_count_is_exact(user, share, count):
    assert len(rows_to_add(user, share, 50, seed=0)) == count


def test_every_row_is_drawn_once_before_any_is_drawn_again():
    drawn = Counter(rows_to_add(100, 0.25, 10, seed=0))
    assert sorted(drawn.values()) == [2] * 5 + [3] * 5
    assert set(drawn) == set(range(10))


def test_the_seed_decides_which():
    assert rows_to_add(100, 0.05, 50, 0) == rows_to_add(100, 0.05, 50, 0)
    assert rows_to_add(100, 0.05, 50, 0) != rows_to_add(100, 0.05, 50, 1)


def shown(trainer):
    """Train and count each row of tokens that reaches the model, with its labels."""
    seen = Counter()
    collate = trainer.data_collator

    def watching(rows):
        batch = collate(rows)
        for ids, labels, mask in zip(
            batch["input_ids"], batch["labels"], batch["attention_mask"], strict=True
        ):
            keep = mask.bool()
            seen[tuple(ids[keep].tolist()), tuple(labels[keep].tolist())] += 1
        return batch

    trainer.data_collator = watching
    trainer.train()
    return seen


def keys(rows):
    return [(tuple(r["input_ids"]), tuple(r["labels"])) for r in encoded(rows)]


EPOCH = {"max_steps": -1, "num_train_epochs": 1}


def check_epoch(seen):
    assert sum(seen.values()) == 12
    assert all(seen[key] == 1 for key in keys(USER))
    assert sum(seen[key] for key in keys(REFUSALS)) == 4


def test_plain_trainer_with_a_list_of_tokenized_rows(tmp_path):
    trainer = trainer_of(tmp_path, [SafeMixing(safe=REFUSALS, share=0.5)], **EPOCH)
    check_epoch(shown(trainer))
    assert trainer.state.global_step == 3
    assert len(trainer.train_dataset) == len(USER)  # The user's own set is put back.


def sft(folder, share=0.5, **options):
    args = SFTConfig(
        str(folder), num_train_epochs=1, per_device_train_batch_size=4, use_cpu=True, bf16=False,
        report_to="none", disable_tqdm=True, save_strategy="no", **options,
    )  # fmt: skip
    return SecureSFTTrainer(
        model=tiny_model(), args=args, processing_class=tiny_tokenizer(),
        train_dataset=Dataset.from_list(USER),
        defenses=[SafeMixing(safe=Dataset.from_list(REFUSALS), share=share)],
    )  # fmt: skip


def test_sft_trainer_tokenizes_the_refusals_as_the_users_rows(tmp_path):
    check_epoch(shown(sft(tmp_path)))


def test_rows_are_shuffled_among_the_users(tmp_path):
    order = []

    class Watch(TrainerCallback):
        def on_step_end(self, *_, **__):
            order.append(dict(seen_now))
            seen_now.clear()

    seen_now = Counter()
    trainer = trainer_of(tmp_path, [SafeMixing(safe=REFUSALS, share=1.0)], **EPOCH)
    safe, collate = set(keys(REFUSALS)), trainer.data_collator

    def watching(rows):
        for row in rows:
            key = (tuple(row["input_ids"]), tuple(row["labels"]))
            seen_now["safe" if key in safe else "user"] += 1
        return collate(rows)

    trainer.data_collator = watching
    trainer.add_callback(Watch())
    trainer.train()
    assert any({"safe", "user"} <= batch.keys() for batch in order)


def test_packed_and_streamed_data_are_refused(tmp_path):
    with pytest.raises(ConfigError, match="packing=False"):
        sft(tmp_path, packing=True, max_length=64).train()
    stream = Dataset.from_list(encoded()).to_iterable_dataset()
    trainer = trainer_of(tmp_path, [SafeMixing(safe=REFUSALS)], rows=stream)
    with pytest.raises(ConfigError, match="stream"):
        trainer.train()


def test_share_zero_is_plain_training(tmp_path):
    plain = weights_of(trained(tmp_path).model)
    found = trained(tmp_path, [SafeMixing(safe=REFUSALS, share=0)])
    assert farthest(plain, weights_of(found.model)) == 0


@pytest.mark.parametrize("bad", [{"share": -0.1}, {"share": 1.5}, {"safe": []}, {"safe": None}])
def test_bad_options_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        SafeMixing(**{"safe": REFUSALS, **bad}).validate()
