"""The model card: valid metadata, what was measured and what not, and nothing of this machine."""

import json
import os
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, metadata_load

from holdfast.evaluation.interval import Share
from holdfast.evaluation.metrics import Outcome
from holdfast.inputs.loading.base_card import BaseCard, base_card
from holdfast.report.model_card import model_card, write_card
from holdfast.results.provenance import DataSource
from holdfast.results.readings import Reading
from holdfast.results.records import Answer, Arm, SeedRun
from holdfast.results.result import RunResult

SECRET = "zq-the-prompt"  # noqa: S105
BASE = BaseCard("small", "owner/small", "apache-2.0")


def run(refused: int, kind="harmful") -> SeedRun:
    answers = [
        Answer(
            id=f"{kind}-{n}", kind=kind, prompt=SECRET, answer=SECRET,
            outcome=Outcome.REFUSED if n < refused else Outcome.HARMFUL_CORRECT,
            refused=n < refused, correct=False,
        )
        for n in range(20)
    ]  # fmt: skip
    return SeedRun(seed=0, answers=answers, judge="a judge/1")


def result(command="tune", **more) -> RunResult:
    settings = {"panacea": {"rho": 1.5, "aligned": "/home/me/secret", "mode": "post"}}
    arms = [
        Arm.of("before", [run(18)]),
        Arm.of("panacea", [run(12)], scenario="/home/me/data.jsonl", settings=settings),
    ]
    data = [DataSource(name="data", sha256="0" * 64, rows=12, path="/home/me/data.jsonl")]
    config = {"model": "/home/me/small", "training": {"learning_rate": 1e-4, "output_dir": "/x"}}
    warnings = ["/home/me/data.jsonl: row 3"]
    return RunResult.of(command, arms, data=data, config=config, warnings=warnings, **more)


def test_the_metadata_are_valid_and_inherit_the_base():
    card = model_card(result(), BASE, adapter=True)
    data = card.data
    assert (data.base_model, data.license, data.library_name) == (
        "owner/small",
        "apache-2.0",
        "peft",
    )
    assert data.to_dict()["base_model_relation"] == "adapter"
    assert data.tags == ["holdfast", "safety", "lora", "panacea"]
    plain = model_card(result(), BaseCard("small"), adapter=False).data
    assert plain.library_name == "transformers"
    assert not {"base_model", "base_model_relation", "license"} & plain.to_dict().keys()


def test_the_figures_stand_before_and_after_with_intervals():
    text = model_card(result(), BASE, adapter=False).text
    assert "## Safety after fine-tuning" in text
    row = next(line for line in text.splitlines() if "Harmful score" in line)
    assert [part.strip() for part in row.split("|")][2:5] == [
        "10 % [2.8, 30]",
        "40 % [22, 61]",
        "20",
    ]
    assert "One training run was measured, the answers judged by a judge/1." in text
    assert "Not measured: over-refusal, task accuracy and usefulness." in text
    assert "- `panacea`: " in text
    assert "(rho 1.5)" in text
    assert "They do not stop someone who has these weights" in text


def test_every_judge_is_named_and_what_chose_the_weights():
    share = Share(0.25, 0.1, 0.4, 20)
    other = Reading(judge="other/2", shares={"hs": share, "hs_content": share})
    third = Reading(judge="third/1")
    measured = run(12).model_copy(update={"readings": [other, third], "step": 40})
    given = result()
    arms = [given.arms[0], Arm.of("panacea", [measured])]
    text = model_card(given.model_copy(update={"arms": arms}), BASE, adapter=False).text
    assert (
        "the answers judged by a judge/1. The same answers were also read by other/2 (harmful "
        "score 25 %) and third/1."
    ) in text
    assert "The weights are those of step 40, which the loss on evaluation data chose." in text
    assert "evaluation data" not in model_card(given, BASE, adapter=False).text


def test_no_path_and_no_text_of_a_row_is_in_it():
    text = str(model_card(result(), BASE, adapter=False))
    assert "/home" not in text
    assert "data.jsonl" not in text
    assert SECRET not in text


def test_questions_are_no_rows_of_the_training():
    """The questions of the test stood among the rows, as if it had been trained on them."""
    asked = DataSource(name="test_harmful", sha256="1" * 64, rows=60, path="bad.jsonl")
    found = result()
    text = model_card(found.model_copy(update={"data": [*found.data, asked]}), BASE, adapter=False)
    assert "Rows: data (12 rows).\n" in text.text
    assert "test_harmful" not in text.text


@pytest.mark.parametrize("command", ["tune", "align", "repair"])
def test_what_was_done_is_called_by_its_name(command):
    """A repaired model's card told of "fine-tuning" and of "one training run"."""
    text = model_card(result(command), BASE, adapter=False).text
    trained = command != "repair"
    assert ("One training run was measured" in text) == trained
    assert ("## Safety after fine-tuning" in text) == (command == "tune")
    assert ("## Safety after repair" in text) == (not trained)


def test_a_run_without_questions_and_defenses_says_so():
    bare = RunResult.of("align", [Arm.of("none", [SeedRun(seed=0)])])
    text = model_card(bare, BASE, adapter=False).text
    assert "Not measured: harmful score, over-refusal, task accuracy and usefulness." in text
    assert "No defense was used." in text


def test_the_card_that_is_written_can_be_read_by_the_hubs_own_library(tmp_path):
    (tmp_path / "README.md").write_text("---\nbase_model: /home/me/small\n---\n")  # PEFT's own.
    (tmp_path / "adapter_config.json").write_text("{}")
    write_card(result(), BASE, tmp_path)
    assert metadata_load(tmp_path / "README.md")["base_model"] == "owner/small"
    assert ModelCard.load(tmp_path / "README.md").data.library_name == "peft"


@pytest.mark.parametrize(
    ("said", "wanted"),
    [
        ("license: mit\nbase_model: a/b", ("a/b", "mit", None)),
        ("license: other\nlicense_name: gemma\nbase_model: [a/b]", ("a/b", "other", "gemma")),
        ("license: [mit]\nbase_model: /home/me/x", (None, None, None)),
        ("license: 'x y\n  z: w'\nbase_model: [a/b, c/d]", (None, None, None)),
        ("license: {", (None, None, None)),
        ("license: mit\nlicense_name: n", (None, "mit", None)),
    ],
)
def test_of_the_bases_card_only_name_and_license_are_taken(tmp_path, said, wanted):
    folder = tmp_path / "small"
    folder.mkdir()
    (folder / "README.md").write_text(f"---\n{said}\n---\nsecret text\n")
    found = base_card(str(folder))
    assert found.name == "small"
    assert (found.base_model, found.license, found.license_name) == wanted


def test_a_base_without_a_card_is_its_folders_name(tmp_path):
    (tmp_path / "small").mkdir()
    assert base_card(os.fspath(tmp_path / "small")) == BaseCard("small")
    (tmp_path / "small" / "README.md").mkdir()
    assert base_card(f"{tmp_path}/small/") == BaseCard("small")


def test_tune_and_repair_write_one_and_keep_the_chain(tmp_path, monkeypatch):
    from holdfast.cli import main  # noqa: PLC0415
    from tests.tiny import tiny_model, tiny_rows, tiny_tokenizer  # noqa: PLC0415

    monkeypatch.chdir(tmp_path)
    tiny_model().save_pretrained("model")
    tiny_tokenizer().save_pretrained("model")
    Path("model/README.md").write_text("---\nlicense: mit\nbase_model: own/er\n---\nhello\n")
    rows = [{"question": q, "answer": a} for q, a in tiny_rows(8)]
    Path("data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    tune = ["tune", "--model", "model", "--data", "data.jsonl", "--max-steps", "1", "--output"]
    assert main([*tune, "out", "--lora"]) == 0
    assert main([*tune, "full"]) == 0
    repair = ["repair", "--model", "full", "--harmful", "data.jsonl", "--output", "fixed"]
    assert main(repair) == 0
    cards = {name: ModelCard.load(f"{name}/README.md") for name in ("out", "full", "fixed")}
    assert {card.data.base_model for card in cards.values()} == {"own/er"}
    assert {card.data.license for card in cards.values()} == {"mit"}
    assert cards["out"].data.library_name == "peft"
    assert "repaired with panacea" in cards["fixed"].text
    assert not any(
        str(tmp_path) in str(card) or "data.jsonl" in str(card) for card in cards.values()
    )
