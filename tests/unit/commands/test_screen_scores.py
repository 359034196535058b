"""Scores of a screening: what is shown of them, what they decide, and what they need."""

import json
from pathlib import Path

import pytest
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from holdfast.analysis.rows import Column, RowScores, SetScore
from holdfast.cli import main
from holdfast.commands.screening import screen as screening
from holdfast.commands.screening.options import ScreenConfig
from holdfast.commands.screening.rule import Rule
from holdfast.commands.screening.scores import held_of, high
from holdfast.commands.screening.screen import screen
from holdfast.errors import ConfigError, ModelError, RunError
from holdfast.files.base_mark import BaseMark
from holdfast.report.screening.words import listed, set_risk
from tests.tiny import tiny_model, tiny_tokenizer

WORDS = ("red", "blue", "green", "old", "new")
SCORED = {"model": "model", "harmful": "pairs.jsonl", "reference": ["data.jsonl"]}


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("HOLDFAST_DATA", raising=False)
    tiny_model().save_pretrained("model")
    tiny_tokenizer().save_pretrained("model")
    for name in ("data", "pairs"):
        rows = [
            {"prompt": f"what is {w} {name}", "completion": f"{w} is the answer"} for w in WORDS
        ]
        Path(f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def made(label="ranking signal, not validated on this model", labels=None):
    """Scores of five rows: push rises with the row's number; the last one has none."""
    values = (0.1, 0.2, 0.3, 0.4, None)
    columns = {
        "push": Column("push", values, (10.0, 50.0, 99.5, 99.9, None)),
        "length": Column("length", (9.0, 8.0, 7.0, 6.0, None), (99.0, 98.0, 97.0, 96.0, None)),
    }
    sets = {"push": SetScore(0.4, 0.5, 91.0, {"lists": 0.2}), "mdf": SetScore(-0.31)}
    return RowScores(columns, sets, label=label, labels=labels or {}, notes=("a note",))


@pytest.fixture
def scored(monkeypatch):
    monkeypatch.setattr(screening, "held_of", lambda _: object())
    monkeypatch.setattr(screening, "row_scores", lambda *_: made())
    return lambda **more: screen(ScreenConfig(file="data.jsonl", **more))


def test_rows_have_their_scores_and_percentiles(scored, place):
    file = scored(output=place / "out").file
    assert [row.row for row in file.screened] == [1, 2, 3, 4, 5]
    third = file.screened[2].components["push"]
    assert (third.value, third.percentile) == (0.3, 99.5)
    assert file.screened[4].components["push"].value is None
    assert file.scores["push"]["percentile"] == 91.0
    head, *rows = (place / "out" / "screen.csv").read_text().splitlines()
    assert head.endswith("push,push percentile,length,length percentile")
    assert rows[2].endswith("0.3,99.5,7,97.0")
    assert "not validated" in (place / "out" / "screen.html").read_text()


def test_what_a_score_is_worth_stands_beside_it_and_length_is_no_risk(scored):
    file = scored().file
    shown, label = set_risk(file)
    assert shown.startswith("push 91 · mdf -0.31")
    assert "length" not in shown
    assert label == "ranking signal, not validated on this model"
    assert [row.row for row in listed(file, 2)] == [4, 3]
    assert list(listed(file, 1)[0].percentiles) == ["push"]
    assert "a note" in file.notes


def test_scores_that_are_not_validated_decide_nothing(scored):
    assert scored().file.counts["action"] == {"keep": 5, "review": 0, "mask": 0, "drop": 0}
    rows = [{"row": n} for n in range(1, 6)]
    assert high(made(), rows) == []
    found = high(made(labels={"push": "calibrated on this model: ρ .8"}), rows)
    assert [(each.row, each.action) for each in found] == [(3, "review"), (4, "review")]


def test_a_rule_may_name_the_sets_percentile(scored):
    assert scored(fail_if="push>90").failed == "push>90"
    assert scored(fail_if="push>95").failed == ""
    with pytest.raises(ConfigError, match="gap has no percentile here"):
        scored(fail_if="gap>95", vector=Path("vector"))
    with pytest.raises(ConfigError, match="push is a percentile: leave out the %"):
        scored(fail_if="push>5%")


def test_what_nobody_can_tell_decides_only_where_the_rest_does_not():
    """An unknown name ended a rule that another of its terms had met, or refuted, already."""
    values = {"drop": 1.0, "dup": 0.0}
    assert Rule.of("push>50 or drop>0").met(values, 5) == "drop>0"
    assert Rule.of("push>50 and dup>0").met(values, 5) == ""
    for open_one in ("push>50 or dup>0", "drop>0 and push>50"):
        with pytest.raises(ConfigError, match="push has no percentile here"):
            Rule.of(open_one).met(values, 5)


def test_a_rule_of_which_nobody_can_tell_loses_no_screening(scored, place):
    """It ended in an error after the scores, and nothing of them was written."""
    with pytest.raises(RunError, match=r"gap has no percentile here.*; what was found is in out"):
        scored(fail_if="gap>95", vector=Path("vector"), output=Path("out"))
    assert json.loads((place / "out" / "screen.json").read_text())["scores"]["push"]


def test_scores_take_kits_as_the_prompts_do(place, monkeypatch):
    """A kit's name was "file not found" where rows are scored, and a kit where prompts are held."""
    monkeypatch.setenv("HOLDFAST_DATA", str(place))
    Path("advbench.csv").write_text("goal,target\ndo a,Sure a\ndo b,Sure b\n")
    rows = [{"question": "1 + 1?", "answer": "2"}]
    Path("gsm8k_train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = ScreenConfig(
        file="data.jsonl", model="model", harmful="advbench", reference=["gsm8k", "pairs.jsonl"]
    )
    held = held_of(config)
    assert [row["prompt"][0]["content"] for row in held.harmful] == ["do a", "do b"]
    assert {name: len(rows) for name, rows in held.references.items()} == {
        "gsm8k": 1, "pairs.jsonl": 5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "need"),
    [("gap", "vector=DIR"), ("anchor", "safe=FILE"), ("norm", "gradients=True")],
)
def test_a_rule_on_a_score_that_was_not_asked_for_ends_before_rows_are_scored(
    name, need, scored, monkeypatch
):
    """It ended with the same error, after all rows had gone through the model."""
    monkeypatch.setattr(screening, "row_scores", lambda *_: pytest.fail("rows were scored"))
    with pytest.raises(ConfigError, match=f"{name} is not looked at: needs `{need}`"):
        scored(fail_if=f"push>50 or {name}>95")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"reference": ["data.jsonl"]}, "add `model=...`, `harmful=...`"),
        ({"model": "model", "lora": True}, "add `harmful=...`, `reference=...`"),
        ({"model": "model", "fail_if": "push>9"}, "push is not looked at: needs `model=DIR`"),
    ],
)
def test_half_of_what_scores_need_is_refused(options, said):
    with pytest.raises(ConfigError, match=said.replace("(", r"\(")):
        screen(ScreenConfig(file="data.jsonl", **options))


def test_a_model_that_refuses_nothing_has_no_safety_to_lose():
    """The tiny model is random: what is left are the columns that need no refusals."""
    file = screen(ScreenConfig(file="data.jsonl", safe="pairs.jsonl", **SCORED)).file
    assert any("no safety to lose" in note for note in file.notes)
    assert "push" not in file.scores
    assert set(file.screened[0].components) >= {"length", "loss"}


def test_the_model_that_scores_lies_where_the_device_map_says(monkeypatch):
    told, load = [], AutoModelForCausalLM.from_pretrained

    def seen(*args, **options):
        told.append(options.get("device_map"))
        return load(*args, **options)

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", seen)
    screen(ScreenConfig(file="data.jsonl", device_map="cpu", **SCORED))
    assert told == ["cpu"]
    with pytest.raises(ConfigError, match="scores need a model, harmful pairs"):
        screen(
            ScreenConfig(file="data.jsonl", model="model", device_map="cpu")
        )  # Nothing to place.
    with pytest.raises(ConfigError, match=r"`device_map=cuda:99`"):
        screen(ScreenConfig(file="data.jsonl", device_map="cuda:99", **SCORED))


def test_requests_that_the_models_judge_cannot_tell_leave_the_other_columns():
    """The organism's oracle knows its own hazards; a foreign file of them ended the screening."""
    given = SCORED | {"model": "organism"}
    file = screen(ScreenConfig(file="data.jsonl", **given)).file
    assert any("whether the model refuses is not known" in note for note in file.notes)
    assert "push" not in file.scores
    assert set(file.screened[0].components) >= {"length", "loss"}


@pytest.mark.slow
def test_the_organisms_scores_rank_planted_rows_first(place, capsys):
    from holdfast.organism import scenarios  # noqa: PLC0415

    rows = [*scenarios.harmless_prompts(40, seed=5), *scenarios.defender_pairs(4, seed=77)]
    lines = [json.dumps({k: row[k] for k in ("prompt", "completion")}) + "\n" for row in rows]
    (place / "mixed.jsonl").write_text("".join(lines))
    argv = ["screen", "mixed.jsonl", "--model", "organism", "--harmful", "organism", "--safe",
            "organism", "--reference", "organism", "--json"]  # fmt: skip
    assert main(argv) == 0
    found = json.loads(capsys.readouterr().out)
    values = {r["row"]: r["components"]["push"]["value"] for r in found["screened"]}
    assert set(sorted(values, key=values.get)[-4:]) == {41, 42, 43, 44}


def test_a_vector_of_another_base_is_refused_by_its_mark(place):
    """Its sizes fit, and the gap was one to a jailbreak of another model."""
    get_peft_model(tiny_model(), LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained("vec")
    BaseMark.of(tiny_model(seed=5), "model-5").save(place / "vec")
    config = ScreenConfig(file="data.jsonl", **SCORED, vector=place / "vec")
    with pytest.raises(ModelError, match=r"vector=.*another base than this model .*model-5"):
        screen(config)
