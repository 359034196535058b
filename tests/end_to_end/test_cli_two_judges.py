"""Two judges through the real entry: every command that measures, and each bad judge in a line."""

import json
from pathlib import Path

import pytest

from holdfast.cli import main
from holdfast.inputs.judging import default_judges, judge_for
from holdfast.results.result import RunResult
from tests.chat_server import grade, serving
from tests.judge_models import scripted
from tests.tiny import tiny_model, tiny_rows, tiny_tokenizer

GUARD = {"<unk>": "safe", **{str(n): "unsafe" for n in range(10)}, "unsafe": "\nS9"}
ASK = ["--test-harmful", "data.jsonl", "--test-safe", "data.jsonl", "--max-new-tokens", "2"]
TWO = ["--judge", "refusal_phrases", "--judge", "llama_guard_3:model=guard,dtype=float32"]
EVALUATE = ["evaluate", "--model", "model", "--harmful", "data.jsonl", "--safe", "data.jsonl",
            "--max-new-tokens", "2"]  # fmt: skip


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("judges")
    tiny_model().save_pretrained(folder / "model")
    tiny_tokenizer().save_pretrained(folder / "model")
    scripted(folder / "guard", GUARD)
    rows = [{"prompt": q, "completion": a} for q, a in tiny_rows(8)]
    (folder / "data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return folder


@pytest.fixture(autouse=True)
def _there(place, monkeypatch):
    monkeypatch.chdir(place)
    monkeypatch.setenv("NO_PROXY", "*")
    monkeypatch.setenv("HOLDFAST_JUDGE_KEY", "a-very-secret-key")


def test_evaluate_tells_both_and_writes_what_it_told(capsys):
    assert main([*EVALUATE, *TWO, "--output", "evaluated", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    guard = "Llama Guard 3/1 (guard)"
    assert told["judge"] == "refusal phrases (ASR), version 2"
    assert list(told["beside"]) == [guard]
    assert {(a["kind"], a["second"]) for a in told["agreement"]} == {("harmful", guard)}
    said = f"{guard} does not judge safe questions: its figures are without them."
    assert said in Path("evaluated/report.html").read_text()
    result = RunResult.load("evaluated/result.json")
    [run] = result.arms[0].runs
    assert [reading.judge for reading in run.readings] == [guard]
    assert run.readings[0].template_hash
    assert len(run.answers) == len(run.readings[0].answers) == 16
    assert result.config["judge"] == TWO[1::2]


@pytest.mark.parametrize("command", ["tune", "align", "repair"])
def test_every_command_that_writes_a_model_measures_with_both(command):
    argv = [command, "--model", "model", "--output", command, *ASK, *TWO]
    if command == "repair":
        argv += ["--method", "panacea:rho=0.1", "--harmful", "data.jsonl"]
    else:
        argv += ["--data", "data.jsonl", "--max-steps", "1"]
    assert main(argv) == 0
    result = RunResult.load(f"{command}/result.json")
    assert [len(arm.runs[0].readings) for arm in result.arms] == [1, 1]
    assert {a.arm for a in result.agreement} == {"", *(arm.defense for arm in result.arms)}
    assert "Two judges" in Path(command, "report.html").read_text()


def test_a_real_model_is_read_by_two_judges_unasked(capsys):
    assert main([*EVALUATE, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    read = [told["judge"], *told["beside"]]
    assert read == [judge_for("model", name).name for name in default_judges("model")]
    assert read[-1].startswith("refusal phrases")


def test_the_organism_keeps_its_oracle_alone():
    limits = ["--limit", "2", "--max-new-tokens", "2"]
    assert main(["evaluate", "--model", "organism", *limits, "--output", "organism-out"]) == 0
    result = RunResult.load("organism-out/result.json")
    assert result.arms[0].runs[0].judge == "organism-oracle/1"
    assert result.agreement == []


def test_an_endpoint_judges_and_its_key_is_nowhere(capfd):
    with serving(lambda *_: grade("none", "no")) as server:
        spec = f"endpoint:url={server.url},model=m,backoff=0"
        argv = [*EVALUATE, "--judge", spec, "--judge", "refusal_phrases", "--output", "served"]
        assert main(argv) == 0
    assert len(server.asked) == 1 + 16
    written = "".join(p.read_text() for p in Path("served").iterdir())
    assert "a-very-secret-key" not in written + "".join(capfd.readouterr())
    assert RunResult.load("served/result.json").arms[0].runs[0].judge == "endpoint rubric/1 (m)"


def test_an_endpoint_that_gives_up_leaves_what_was_made(capfd):
    """Answers and verdicts made before a 429 without end are kept, and marked partial."""
    with serving(lambda _, n: grade("none", "yes") if n < 6 else (429, "slow down")) as server:
        spec = f"endpoint:url={server.url},model=m,backoff=0,retries=1,parallel=1"
        assert main([*EVALUATE, "--judge", spec, "--output", "partial", "--overwrite"]) == 0
    out, _ = capfd.readouterr()
    assert "Partial: endpoint rubric/1 (m) has scored 4 of 16 answers" in " ".join(out.split())
    [run] = RunResult.load("partial/result.json").arms[0].runs
    assert len(run.answers) == 16
    assert run.shares["hs"].n == 4
    assert "HTTP 429" in run.partial


CASES = {
    "unknown judge": (["llama_gard_3"], ["unknown judge 'llama_gard_3'", "'llama_guard_3'?"]),
    "unknown option": (
        ["llama_guard_3:modle=guard"],
        ["--judge llama_guard_3:modle=guard", "unknown option 'modle'", "Did you mean 'model'"],
    ),
    "an option of a judge without any": (
        ["organism_oracle:model=x"], ["unknown option 'model'", "it has none"],
    ),
    "no equals sign": (["wildguard:guard"], ["'guard' is not key=value"]),
    "a number that is none": (["shieldgemma:threshold=high"], ["threshold='high' must be a"]),
    "a choice that is none": (["wildguard:dtype=int4"], ["dtype='int4' must be one of"]),
    "given twice": (["beaver_dam:model=a,model=b"], ["model is given twice"]),
    "same judge twice": (["refusal_phrases"] * 2, ["given twice", "give another"]),
    "no model": (["llama_guard_3"], ["needs its model", "model=meta-llama/Llama-Guard-3-8B"]),
    "no such folder": (["llama_guard_3:model=nowhere"], ["model=nowhere", "folder not found"]),
    "no weights": (["llama_guard_3:model=empty"], ["model=empty", "has no weights"]),
    "another template": (
        ["llama_guard_3:model=guard,template_hash=deadbeef"],
        ["its template has the hash", "template_hash=deadbeef was pinned"],
    ),
    "a secret": (["endpoint:api_key=hidden-word"], ["api_key is a secret", "HOLDFAST_JUDGE_KEY"]),
    "a query": (
        ["endpoint:url=https://127.0.0.1:9/v1?api-key=hidden-word,model=m"],
        ["--judge endpoint:…: url holds more than an address"],
    ),
    "nobody listens": (
        ["endpoint:url=http://127.0.0.1:9/v1,model=m,backoff=0"],
        ["127.0.0.1 does not answer", "no connection"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_a_judge_that_cannot_be_used_is_one_line_before_anything_runs(place, case, capfd):
    given, says = CASES[case]
    if not (place / "empty").exists():
        scripted(place / "empty", GUARD)
        (place / "empty/model.safetensors").unlink()
    argv = [*EVALUATE, *(word for name in given for word in ("--judge", name)), "--output", "no"]
    assert main(argv) == 2
    out, err = capfd.readouterr()
    line = [line for line in err.splitlines() if line.startswith("error:")]
    assert len(line) == 1, err
    assert [part for part in says if part not in line[0]] == []
    assert "hidden-word" not in out + err
    assert not (place / "no").exists()
