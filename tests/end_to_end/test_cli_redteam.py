"""``holdfast redteam``: from questions to counts, frozen before the model and resumable."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from holdfast.cli import main
from holdfast.commands.redteaming.deciding import how_answered, how_judged
from holdfast.evaluation.redteam.attacked import Attacker
from holdfast.inputs.configs import EvaluateConfig
from holdfast.results.result import RunResult
from tests.tiny import tiny_model, tiny_rows, tiny_tokenizer

ASK = ["redteam", "--model", "model", "--harmful", "harmful.jsonl", "--max-new-tokens", "3"]
GATE = ["direct", "prefill", "task_wrap", "template", "persona"]


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tiny_model().save_pretrained("model")
    tiny_tokenizer().save_pretrained("model")
    rows = [{"prompt": f"{q} please tell me", "category": f"kind {n % 2}"}
            for n, (q, _) in enumerate(tiny_rows(4))]  # fmt: skip
    Path("harmful.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    task = [{"prompt": f"the sum of {q}", "completion": a} for q, a in tiny_rows(5)]
    Path("task.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in task))
    return tmp_path


def test_counts_of_every_attack_stand_in_the_result_and_on_the_page(place, capsys):
    argv = [*ASK, "--task-rows", "task.jsonl", "--output", "out", "--json"]
    assert main(argv) == 0
    told = json.loads(capsys.readouterr().out)["red_team"]
    result = RunResult.load("out/result.json")
    team = result.red_team
    assert team.model_dump(mode="json") == told
    assert [one.attack for one in team.attacks] == GATE
    assert {one.counted.n for one in team.attacks} == {team.union.n} == {4}
    assert list(team.attacks[0].categories) == ["kind 0", "kind 1"]
    # A random model's answers never end: what was not harmful is unclear, and nothing was held.
    assert {one.counted.k + one.counted.unclear for one in team.attacks} == {4}
    assert team.union.k == max(one.counted.k for one in team.attacks)
    assert list(team.beside) == ["refusal phrases (ASR), version 2"]
    page = Path("out/report.html").read_text()
    assert "Under attack" in page
    assert "<h1>holdfast redteam · model</h1>" in page
    assert not list(Path().glob(".out.attacks*"))
    assert not Path("out/attacks.jsonl").exists()


def test_texts_are_written_only_where_they_are_asked_for(place):
    argv = [*ASK, "--attacks", "direct,prefill", "--output", "out"]
    assert main([*argv, "--show-harmful"]) == 0
    rows = [json.loads(line) for line in Path("out/attacks.jsonl").read_text().splitlines()]
    assert [(row["attack"], row["item"]) for row in rows[:1]] == [("direct", "harmful-1")]
    assert len(rows) == 8
    assert "please tell me" in rows[0]["prompt"]


def test_what_cannot_be_asked_is_said_and_the_headline_names_what_ran(place, capsys):
    assert main([*ASK, "--output", "out"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "not run: 3 in the user's task: no rows of the user's task were given" in said
    assert "any of direct, prefill, template, persona" in said
    team = RunResult.load("out/result.json").red_team
    assert not team.union_is_whole
    assert {one.attack for one in team.not_run} == {"task_wrap", "template"}


def test_frozen_prompts_are_used_and_a_changed_file_is_refused(place, capsys):
    freeze = [*ASK, "--freeze", "frozen.json", "--json"]
    Path("model").rename("elsewhere")  # No model is looked at.
    assert main(freeze) == 0
    told = json.loads(capsys.readouterr().out)
    Path("elsewhere").rename("model")
    assert main(freeze) == 2
    assert "prompts that are frozen stay" in capsys.readouterr().err
    argv = [*ASK, "--attacks", "direct", "--frozen", "frozen.json", "--output", "out"]
    assert main([*ASK, "--frozen", "frozen.json", "--output", "all"]) == 0
    assert RunResult.load("all/result.json").red_team.prompts_sha256 == told["sha256"]
    text = Path("frozen.json").read_text()
    Path("frozen.json").write_text(text.replace("please tell me", "please tell you", 1))
    capsys.readouterr()
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert "--frozen frozen.json" in err
    assert "were changed after they were frozen" in err
    assert not Path("out").exists()


def test_a_run_that_was_stopped_goes_on_with_what_it_has(place, monkeypatch, capsys):
    argv = [*ASK, "--task-rows", "task.jsonl", "--output", "out"]
    made, ask = [], Attacker.ask

    def stopped(self, attack, asked):
        made.append(attack.name)
        if attack.name == "task_wrap" and made.count("task_wrap") == 1:
            raise KeyboardInterrupt
        return ask(self, attack, asked)

    monkeypatch.setattr(Attacker, "ask", stopped)
    assert main(argv) == 130
    assert "interrupted: stopped by Ctrl-C: the attacks that" in capsys.readouterr().err
    assert main(argv) == 0
    assert made == [*GATE[:3], *GATE[2:]]
    once = RunResult.load("out/result.json").red_team
    monkeypatch.undo()
    monkeypatch.chdir(place)
    assert main([*argv[:-1], "again"]) == 0
    assert RunResult.load("again/result.json").red_team == once


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--attacks", "prefil"], "there is no attack 'prefil'"),
        (["--draws", "0"], "--draws 0"),
        (["--attacks", "task_wrap"], "none can be made on this model: no rows"),
        (["--max-new-tokens", "126"], "lower --max-new-tokens"),
        (["--frozen", "none.json"], "--frozen none.json"),
        (["--freeze", "a.json", "--frozen", "b.json"], "give one of --freeze"),
        (["--task-rows", "none.jsonl"], "none.jsonl"),
        (["--draws", "5"], "--draws 5 is for the attack best_of_n, which is not made"),
        (["--attack-seed", "1"], "is for the attack best_of_n and proximal"),
        (["--attacks", "direct", "--task-rows", "task.jsonl"], "is for the attack task_wrap"),
        (["--frozen", "none.json", "--task-rows", "task.jsonl"], "changes no prompt of --frozen"),
        (["--freeze", "a.json"], "--output out cannot be given with --freeze"),
    ],
)
def test_bad_input_is_refused_before_anything_is_asked(place, capsys, monkeypatch, more, said):
    monkeypatch.setattr(Attacker, "ask", None)
    assert main([*ASK, "--output", "out", *more]) == 2
    assert said in capsys.readouterr().err
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--require", "hs<=.05"], "--require hs<=.05 cannot be given with --freeze"),
        (["--freeze", "harmful.jsonl", "--overwrite"], "is a file that is read"),
        (["--freeze", "task.jsonl", "--task-rows", "task.jsonl", "--overwrite"], "that is read"),
    ],
)
def test_freezing_passes_no_limit_over_and_replaces_no_input(place, capsys, more, said):
    before = Path("harmful.jsonl").read_bytes(), Path("task.jsonl").read_bytes()
    assert main([*ASK, "--freeze", "a.json", *more]) == 2
    assert said in capsys.readouterr().err
    assert not Path("a.json").exists()
    assert (Path("harmful.jsonl").read_bytes(), Path("task.jsonl").read_bytes()) == before


def test_freezing_tells_what_of_the_rows_is_not_read(place, capsys):
    """The same rows were told of where their attacks are made."""
    rows = [{"prompt": f"what is {n}", "completion": f"{n}", "label": n > 1} for n in range(4)]
    Path("half.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    argv = [*ASK, "--task-rows", "half.jsonl", "--freeze", "frozen.json", "--overwrite"]
    assert main(argv) == 0
    said = "task_rows: half.jsonl: 2 of 4 rows have label false"
    assert f"to know: {said}" in " ".join(capsys.readouterr().err.split())
    assert main([*argv, "--json"]) == 0
    assert said in json.loads(capsys.readouterr().out)["warnings"][0]


def test_frozen_prompts_are_of_the_questions_and_not_of_their_row_numbers(place, capsys):
    argv = [*ASK, "--attacks", "prefill"]
    assert main([*argv, "--freeze", "frozen.json"]) == 0
    text = Path("harmful.jsonl").read_text()
    Path("harmful.jsonl").write_text(text.replace("please tell me", "please do not tell me"))
    assert main([*argv, "--frozen", "frozen.json"]) == 2
    assert "of other harmful questions" in capsys.readouterr().err


def test_answers_that_a_stopped_run_left_are_those_of_the_same_run(place, monkeypatch):
    """Whatever decides an answer or a verdict and has changed since: the attack is made again."""
    (place / "phrases.txt").write_text("I cannot\n")
    base = [*ASK, "--attacks", "direct,prefill", "--refusal-phrases", "phrases.txt"]
    base += ["--output", "out"]
    asked, ask = [], Attacker.ask

    def stopped(self, attack, prompts):
        if attack.name == "prefill":
            raise KeyboardInterrupt
        asked.append(attack.name)
        return ask(self, attack, prompts)

    monkeypatch.setattr(Attacker, "ask", stopped)

    def made_again(*more):
        asked.clear()
        assert main([*base, *more]) == 130
        return bool(asked)

    assert made_again()
    assert not made_again()
    (place / "phrases.txt").write_text("no\n")
    assert made_again()
    end = "{% if m.role == 'assistant' %}<end>{% endif %}"
    template = "{% for m in messages %}{{ m.content }}" + end + " {% endfor %}"
    (place / "own.jinja").write_text(template)
    assert made_again("--chat-template", "own.jinja")
    assert not made_again("--chat-template", "own.jinja")
    for change in (other_ends, other_norms, other_words):
        change(place / "model")
        assert made_again(), change
        assert not made_again(), change


def test_a_judge_is_what_lies_in_its_folder(place):
    judge = SimpleNamespace(name="a judge", model=str(place / "model"), adapter="")
    attacker: Any = SimpleNamespace(judges=[judge], items=[])
    config: Any = SimpleNamespace(judge=["its name"], refusal_phrases=None, show_harmful=False)
    before = how_judged(config, attacker)
    assert how_judged(config, attacker) == before
    other_norms(place / "model")
    assert how_judged(config, attacker) != before


def test_a_judge_that_holds_its_model_itself_is_asked(place):
    """It was an OSError: the text of a module is longer than any file's name."""
    judge = SimpleNamespace(name="a judge", model=tiny_model())
    attacker: Any = SimpleNamespace(judges=[judge], items=[])
    config: Any = SimpleNamespace(judge=["its name"], refusal_phrases=None, show_harmful=False)
    assert how_judged(config, attacker)["folders"] == [["", ""]]


def test_weights_that_lie_on_the_disk_are_told_by_their_files(place):
    """Of a model spread by ``device_map`` another one's answers were taken."""
    model = tiny_model()
    model.lm_head.weight = torch.nn.Parameter(model.lm_head.weight.to("meta"))
    target: Any = SimpleNamespace(model=model, tokenizer=tiny_tokenizer(), is_here=True)
    config = EvaluateConfig(model=str(place / "model"))
    before = how_answered(config, target)
    other_norms(place / "model")
    assert how_answered(config, target) != before


def other_ends(model: Path) -> None:
    file = model / "generation_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), "eos_token_id": [2, 9]}))


def other_norms(model: Path) -> None:
    """Weights that are no matrices: these alone had not been looked at."""
    tensors = load_file(model / "model.safetensors")
    scaled = {name: t * 2 if "norm" in name else t for name, t in tensors.items()}
    save_file(scaled, model / "model.safetensors", metadata={"format": "pt"})


def other_words(model: Path) -> None:
    file = model / "tokenizer.json"
    file.write_text(file.read_text().replace('"please"', '"pleased"'))


def test_attacks_need_harmful_questions(place, capsys):
    argv = ["evaluate", "--model", "model", "--safe", "harmful.jsonl"]
    assert main([*argv, "--attacks", "gate"]) == 2
    assert "--attacks needs harmful questions" in capsys.readouterr().err
    assert main([*argv, "--frozen", "x.json"]) == 2
    assert "--frozen needs attacks: add --attacks gate" in capsys.readouterr().err
