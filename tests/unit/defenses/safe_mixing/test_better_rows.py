"""Safe rows in the user's format, and those nearest to the user's: counts, tokens, fallbacks."""

from typing import Any

import pytest
from datasets import Dataset
from trl import SFTConfig

from holdfast import SafeMixing, SecureSFTTrainer
from holdfast.data.chat import encode
from holdfast.defenses.safe_mixing import relevant_rows, shared_style
from holdfast.defenses.safe_mixing.style import Style, dressed
from holdfast.errors import ConfigError
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import (
    REFUSALS,
    THINGS,
    USER,
    encoded,
    example,
    farthest,
    trained,
    trainer_of,
    weights_of,
)

SYSTEM = {"role": "system", "content": "tell the sum"}


def spoken(content: str, answer: str, system: bool = True) -> dict[str, Any]:
    row = example(content, answer)
    return {**row, "prompt": [*([SYSTEM] if system else []), *row["prompt"]]}


TASK = [spoken(f"please tell {n} plus {n + 1} the answer", str(n)) for n in range(1, 9)]
WANTED = [spoken(f"please tell how to make a {t} the answer", "sorry I cannot") for t in THINGS]


def added(folder: Any, rows: list[Any], **options: Any) -> list[dict[str, Any]]:
    """What a run adds to tokenized rows of the plain Trainer."""
    trainer = trainer_of(
        folder, [SafeMixing(**{"safe": REFUSALS, "share": 1.0, **options})], rows=encoded(rows)
    )
    seen: list[Any] = []
    own = trainer.get_train_dataloader

    def watching() -> Any:
        seen.extend(dict(trainer.train_dataset[i]) for i in range(len(trainer.train_dataset)))
        return own()

    trainer.__class__ = type(
        "Watched", (type(trainer),), {"get_train_dataloader": lambda _: watching()}
    )
    trainer.train()
    return seen[len(rows) :]


def tokens(rows: list[dict[str, Any]]) -> list[tuple[list[int], list[int]]]:
    return sorted((list(r["input_ids"]), list(r["labels"])) for r in rows)


def test_at_its_defaults_a_config_is_what_it_was():
    assert SafeMixing(safe=REFUSALS).config() == {"share": 0.1}
    more = SafeMixing(safe=REFUSALS, style="auto", choose="relevant", diversity=0.5).config()
    assert more == {"share": 0.1, "style": "auto", "choose": "relevant", "diversity": 0.5}


def test_an_identity_template_is_plain_mixing_bit_for_bit(tmp_path):
    plain, found = (
        trained(tmp_path, [SafeMixing(safe=REFUSALS, share=0.5, style=style)])
        for style in ("", "{request}")
    )
    assert farthest(weights_of(plain.model), weights_of(found.model)) == 0


@pytest.mark.parametrize(
    "more", [{"style": "auto"}, {"choose": "relevant"}, {"style": "a {request}"}]
)
def test_share_zero_returns_the_same_rows(tmp_path, more):
    rows = encoded(TASK)
    trainer = trainer_of(tmp_path, [SafeMixing(safe=REFUSALS, share=0.01, **more)], rows=rows)
    assert trainer.defenses[0].data(trainer._holdfast_run(), rows) is rows
    assert SafeMixing(safe=REFUSALS, share=0, **more).data(trainer._holdfast_run(), rows) is rows


def test_a_template_is_put_around_each_request(tmp_path):
    found = added(tmp_path, USER, style="please tell {request} the answer", share=1.0)
    wanted = encoded([spoken(f"please tell how to make a {t} the answer", "sorry I cannot", False)
                      for t in THINGS])  # fmt: skip
    assert len(found) == len(USER)
    assert all(row in tokens(wanted) for row in tokens(found))


def test_the_users_format_and_system_prompt_are_found_and_put_on(tmp_path):
    found = added(tmp_path, TASK, style="auto")
    assert len(found) == len(TASK)
    assert all(row in tokens(encoded(WANTED)) for row in tokens(found))


def test_one_stray_prompt_in_five_is_no_obstacle_and_two_are(tmp_path):
    assert len(TASK) == 8
    stray = [spoken(f"no {n}", str(n), False) for n in range(4)]
    one, two = [*TASK, *stray[:2]], [*TASK[:6], *stray[:2]]
    assert all(row in tokens(encoded(WANTED)) for row in tokens(added(tmp_path, one, style="auto")))
    plain = tokens(encoded(REFUSALS))
    assert all(row in plain for row in tokens(added(tmp_path, two, style="auto")))


def test_prompts_of_no_format_are_told_and_mixed_plainly(tmp_path):
    said: list[str] = []
    rows = [example(f"{t} {n}", str(n)) for n, t in enumerate(THINGS)]
    trainer = trainer_of(
        tmp_path, [SafeMixing(safe=REFUSALS, share=0.5, style="auto")], rows=encoded(rows)
    )
    trainer.say = said.append
    trainer.train()
    assert any("mixed in as they are" in line for line in said)
    logs = [row["safe_mixing/styled"] for row in trainer.state.log_history if "loss" in row]
    assert logs == [0.0] * 4
    plain = trained(tmp_path, [SafeMixing(safe=REFUSALS, share=0.5)], rows=encoded(rows))
    assert farthest(weights_of(plain.model), weights_of(trainer.model)) == 0


def test_sft_rows_are_dressed_as_well(tmp_path):
    args = SFTConfig(
        str(tmp_path), max_steps=1, use_cpu=True, bf16=False, report_to="none", disable_tqdm=True,
        save_strategy="no",
    )  # fmt: skip
    defense = SafeMixing(safe=Dataset.from_list(REFUSALS), share=1.0, style="auto")
    trainer = SecureSFTTrainer(
        model=tiny_model(), args=args, processing_class=tiny_tokenizer(),
        train_dataset=Dataset.from_list(TASK), defenses=[defense],
    )  # fmt: skip
    mixed = defense.data(trainer._holdfast_run(), trainer.train_dataset)
    wanted = [encode(row, tiny_tokenizer(), None)["input_ids"] for row in WANTED]
    assert len(mixed) == 2 * len(TASK)
    assert all(list(mixed[n]["input_ids"]) in wanted for n in range(len(TASK), len(mixed)))


def test_a_shared_style_is_the_longest_that_enough_prompts_hold():
    prompts = [[1, 2, n, 8, 9] for n in range(3, 7)]
    found = shared_style([*prompts, [5, 5, 5]])
    assert found is not None
    assert (found.before, found.after) == ([1, 2], [8, 9])
    few = shared_style([*prompts, [5, 5, 5], [6, 6, 6]])
    assert few is not None
    assert (few.before, few.after) == ([], [])
    assert shared_style([[1, 2, 3]] * 5) is None  # No room for a request.
    assert shared_style([]) is None


@pytest.mark.parametrize("order", [1, -1])
def test_a_request_that_begins_as_the_template_goes_on_is_kept_whole(order):
    """The template is 1 2 … 3 4, and one request begins with a 3."""
    requests = [[3, 7], [8]][::order]
    rows = [{"input_ids": [1, 2, *r, 3, 4, 5], "labels": [-100] * (4 + len(r)) + [5]}
            for r in requests]  # fmt: skip
    empty = {"input_ids": [1, 2, 3, 4, 5], "labels": [-100] * 4 + [5]}
    found = dressed(rows, empty, Style([1, 2, 9], [6, 3, 4]))
    assert found is not None
    assert [row["input_ids"] for row in found] == [[1, 2, 9, *r, 6, 3, 4, 5] for r in requests]
    assert all(row["labels"] == [-100] * (len(row["input_ids"]) - 1) + [5] for row in found)


def test_a_share_that_rounds_to_no_row_is_told(tmp_path):
    said: list[str] = []
    trainer = trainer_of(tmp_path, [SafeMixing(safe=REFUSALS, share=0.01)], max_steps=1)
    trainer.say = said.append
    trainer.train()
    assert any("`share=0.01` of 8 rows is no whole row" in line for line in said)


def test_answers_have_no_part_in_what_is_near(tmp_path):
    """A prompt that holds the words of the user's answers is no nearer for it."""
    rows = [example(f"what is {n} plus 1", "zorba zorba zorba") for n in range(1, 9)]
    safe = [example("how to make a zorba", "no"), example("what is zorde", "no")]
    found = added(tmp_path, rows, safe=safe, choose="relevant", share=0.125)
    assert tokens(found) == tokens(encoded(safe[1:]))


def test_words_that_every_prompt_has_say_nothing_of_nearness():
    """Token 9 is in all prompts: the row that repeats it is not nearer than the one with a 1."""
    user = [[9, 9, 9, 1, n] for n in (2, 3, 4)]
    assert relevant_rows(user, [[9, 9, 9, 7], [9, 1, 8, 8]], 1, 0.0) == [1]


def test_the_nearest_rows_come_first_and_likeness_counts_against():
    user = [[1, 2, 3], [1, 2, 4]]
    safe = [[7, 8], [1, 2, 9], [1, 2, 9], [2, 9]]
    assert relevant_rows(user, safe, 2, 0.0) == [1, 2]
    assert relevant_rows(user, safe, 4, 0.9)[0] == 1
    assert relevant_rows(user, safe, 4, 0.9)[-1] == 2  # The same row as one that is there.


@pytest.mark.parametrize("wanted", [0, 3, 4, 9])
def test_chosen_rows_are_counted_exactly_and_each_used_before_any_again(wanted):
    safe = [[1, 2], [3, 4], [1, 5], [6, 2]]
    found = relevant_rows([[1, 2, 3]], safe, wanted, 0.3)
    assert found == relevant_rows([[1, 2, 3]], safe, wanted, 0.3)
    assert len(found) == wanted
    assert len(set(found)) == min(wanted, 4)


def test_relevant_rows_reach_the_run(tmp_path):
    near = example("what is zorba", "no")
    rows = [*REFUSALS, near]
    found = added(tmp_path, USER, safe=rows, choose="relevant", share=0.125)
    assert tokens(found) == tokens(encoded([near]))


def test_a_styled_share_is_not_steered():
    assert SafeMixing(safe=REFUSALS).steerable == (0.1, 1.0)
    assert SafeMixing(safe=REFUSALS, style="auto").steerable is None
    assert SafeMixing(safe=REFUSALS, choose="relevant").steerable is None


@pytest.mark.parametrize(
    "bad", [{"style": "no place"}, {"choose": "best"}, {"diversity": 1.5}, {"diversity": -1}]
)
def test_bad_options_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        SafeMixing(safe=REFUSALS, **bad).validate()
