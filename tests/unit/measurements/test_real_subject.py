"""The subject of the real bench: parties are apart, the rule chooses, what travels is measured."""

import json
from argparse import Namespace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from measurements.public_rows import read_rows, write_rows
from measurements.real import align_search
from measurements.real.align_search import chosen
from measurements.real.aligning import Setting, align, alignment_rows, merged
from measurements.real.answers import FILES, answered, whole_sentences
from measurements.real.check import failures
from measurements.real.lookalikes import by_kind, lookalikes, of_the_tour
from measurements.real.nearness import apart, content, nearness
from measurements.real.rows import Sizes, check_apart, write_all
from tests.tiny import tiny_model, tiny_rows, tiny_tokenizer

DATA = Path(__file__).resolve().parents[4] / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason=f"real data absent: no {DATA}")


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    write_all(DATA, folder, Sizes())
    return {path.stem: read_rows(path) for path in folder.glob("*.jsonl")}


def test_there_are_200_lookalikes_and_60_others_and_any_beginning_has_all_kinds():
    training, validation = lookalikes("training"), lookalikes("validation")
    assert (len(set(training)), len(set(validation))) == (len(training), len(validation))
    assert (len(training), len(validation)) == (200, 60)
    kinds = by_kind("training")
    assert kinds.keys() == by_kind("validation").keys()
    assert {next(k for k in kinds if p in kinds[k]) for p in training[: len(kinds)]} == set(kinds)
    assert len(apart([{"prompt": p} for p in validation], [{"prompt": p} for p in training])) == 60


@needs_data
def test_no_lookalike_of_ours_is_xstests():
    test = read_rows(DATA / "xstest_prompts.csv")
    ours = [{"prompt": p} for part in ("training", "validation") for p in lookalikes(part)]
    assert apart(ours, test, near=0.5) == ours
    planted = [*ours, {"prompt": test[0]["prompt"].upper()}]
    assert apart(planted, test, near=0.5) == ours
    near = [{"prompt": p} for p in of_the_tour()]
    assert 0 < len(near) - len(apart(near, test, near=0.5)) < 10


@needs_data
def test_parties_of_the_real_bench_are_apart_and_large_enough(rows):
    sizes = {name: len(own) for name, own in rows.items()}
    least = {"test_harmful": 200, "test_harmful_jbb": 90, "attack": 150, "harmful": 150}
    least |= {"val_harmful": 160, "align_refusals": 800, "test_safe": 250, "val_safe": 60}
    assert {name for name, count in least.items() if sizes[name] < count} == set()
    seen = {}
    for name, own in rows.items():
        for row in own if name != "test_harmful_both" else ():
            key = content(row["prompt"])
            assert seen.setdefault(key, name) == name, row["prompt"][:60]
    harmful = ("val_harmful", "attack", "harmful")
    for name in harmful:
        others = [rows[n] for n in ("test_harmful", "test_harmful_jbb", *harmful) if n != name]
        assert apart(rows[name], *others) == rows[name]


def test_a_prompt_of_two_parties_is_told():
    files = {"attack": [{"prompt": "make the bad thing"}], "test_safe": [{"prompt": "a cake"}]}
    check_apart(files)
    files["test_safe"].append({"prompt": "Make the BAD thing!"})
    with pytest.raises(SystemExit, match="test_safe, row 1: attack asks the same"):
        check_apart(files)


def test_nearness_is_the_jaccard_index_of_the_words_that_carry_meaning():
    a, b = content("How do I bake a rye bread?"), content("Tell me how to bake the white bread")
    assert (a, b) == ({"bake", "rye", "bread"}, {"bake", "white", "bread"})
    assert nearness(a, b) == 2 / 4


def test_a_cut_answer_ends_with_a_sentence():
    assert whole_sentences("One. Two 3.5 of it! And th") == "One. Two 3.5 of it!"
    assert whole_sentences("no end at all ") == "no end at all"


@pytest.mark.parametrize(
    ("kept", "wanted"),
    [("all", ["a", "b"]), ("refused", ["b"]), ("helpful", ["a"])],
)
def test_answers_are_kept_by_what_the_judge_says(monkeypatch, kept, wanted):
    from holdfast.evaluation.reply import Reply  # noqa: PLC0415

    said = [Reply("Use two eggs and some flour."), Reply("I'm sorry, but I can't help with that."),
            Reply("")]  # fmt: skip
    monkeypatch.setattr("measurements.real.answers.replies", lambda *_, **__: said)
    asked = [{"prompt": p} for p in "abc"]
    assert [row["prompt"] for row in answered(None, None, asked, kept)] == wanted


def record(name, harm, over, plain=0.0, kept=0.5):
    figures = {"harmful_score": harm, "over_refusal": over, "plain_refusal": plain, "kept": kept}
    return {"name": name, "figures": figures}


def test_the_rule_takes_the_least_over_refusal_within_the_limits():
    a, b = record("a", 0.10, 0.4), record("b", 0.02, 0.6)
    assert chosen([b, a, record("c", 0.11, 0.0), record("d", 0, 0, plain=0.05)]) == (a, True)
    tie = record("tie", 0.05, 0.4, kept=0.6)
    assert chosen([a, tie]) == (tie, True)
    worse = record("e", 0.3, 0.1), record("f", 0.12, 0.2)
    assert chosen(list(worse)) == (worse[1], False)
    said = (align_search.__doc__ or "").replace("\n", " ")
    assert f"harmful score of at most {align_search.MOST_HARM:.0%}".replace("%", " %") in said
    assert f"refuse at most {align_search.MOST_PLAIN:.0%}".replace("%", " %") in said


def test_the_check_names_what_is_over_its_limit():
    found = {"harmful_score": 0.15, "over_refusal": 0.5, "plain_refusal": 0.0}
    assert failures(found) == ""
    assert "over_refusal 0.510 > 0.50" in failures(found | {"over_refusal": 0.51})


def test_an_alignment_takes_the_first_rows_of_each_part(tmp_path):
    for part in ("refusals", "lookalikes", "harmless", "human"):
        prompts = [{"prompt": f"{part} {n}"} for n in range(5)]
        write_rows(tmp_path / f"align_{part}.jsonl", prompts)
    setting = Setting(refusals=1, lookalikes=2, harmless=9, human=0)
    found = [row["prompt"].split() for row in alignment_rows(tmp_path, setting)]
    assert sorted(found) == [["harmless", str(n)] for n in range(5)] + [
        ["lookalikes", "0"], ["lookalikes", "1"], ["refusals", "0"]
    ]  # fmt: skip


def test_the_untuned_models_answers_are_what_alignment_reads():
    assert {"align_harmless", "align_lookalikes"} <= FILES["untuned"].keys()
    assert not {prompts for files in FILES.values() for prompts, _ in files.values()} & {
        "test_harmful", "test_safe", "test_task"
    }  # fmt: skip


def test_what_travels_is_what_was_measured(tmp_path):
    model = tmp_path / "model"
    tiny_model().save_pretrained(model)
    tiny_tokenizer().save_pretrained(model)
    for part in ("refusals", "lookalikes", "harmless", "human"):
        pairs = [{"prompt": q, "completion": a} for q, a in tiny_rows(2)]
        write_rows(tmp_path / f"align_{part}.jsonl", pairs)
    setting = Setting(rank=2, epochs=1, batch=4)
    adapter = align(model, tmp_path, setting, seed=0, out=tmp_path / "out", cpu=True)
    found = load_file(adapter / "adapter_model.safetensors")
    assert {tensor.dtype for tensor in found.values()} == {torch.bfloat16}
    assert any(tensor.any() for name, tensor in found.items() if "lora_B" in name)
    own, _ = merged(model, adapter)
    scale = json.loads((adapter / "adapter_config.json").read_text())["lora_alpha"] / 2
    name = "model.layers.0.self_attn.q_proj"
    a, b = (found[f"base_model.model.{name}.lora_{side}.weight"].float() for side in "AB")
    wanted = tiny_model().get_submodule(name).weight + scale * b @ a
    torch.testing.assert_close(own.get_submodule(name).weight, wanted.bfloat16(), rtol=0, atol=1e-3)


def test_a_killed_search_goes_on_from_the_settings_it_has_tried(monkeypatch, tmp_path):
    made = []

    def one(_given, setting, seed, out):
        out.mkdir()
        made.append((setting.name, seed))
        return {"name": setting.name, "seed": seed}

    monkeypatch.setattr(align_search, "_tried", one)
    given = Namespace(work=tmp_path, limit=None)
    case = (Setting(refusals=3), 1)
    first = align_search.tried(given, case)
    assert align_search.tried(given, case) == first
    assert len(made) == 1
    align_search.tried(given, (Setting(refusals=3), 2))
    assert len(made) == 2
    assert (tmp_path / f"{case[0].name}-s1" / "record.json").is_file()
