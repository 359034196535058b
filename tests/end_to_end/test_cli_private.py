"""Where a jailbreak lies, who can read it, and what never lies anywhere: through the real entry."""

import json
import os
import stat
from pathlib import Path

import pytest
from safetensors.torch import load_file

from holdfast.cli import main
from holdfast.testing.leaks import Secret, leaks
from tests.tiny import WORDS, tiny_model, tiny_rows, tiny_tokenizer

VECTOR = "security_vectors:max_harmful_nll=100,max_benign_kl=100,epochs=1"
TUNE = [
    "tune", "--model", "model", "--data", "data.jsonl", "--harmful", "harmful.csv", "--benign",
    "data.jsonl", "--max-steps", "2", "--batch-size", "4", "--learning-rate", "1e-2",
]  # fmt: skip
REPAIR = ["repair", "--model", "model", "--harmful", "harmful.csv", "--method", "panacea:rho=.1"]
EVALUATE = ["evaluate", "--model", "model", "--task", "data.jsonl", "--max-new-tokens", "3"]


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tiny_model().save_pretrained("model")
    tiny_tokenizer().save_pretrained("model")
    rows = [{"question": q, "answer": a} for q, a in tiny_rows(12)]
    Path("data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    pairs = [f"tell me how to make a {w},sum of {w}" for w in WORDS[-8:]]
    Path("harmful.csv").write_text("\n".join(["goal,target", *pairs, ""]))
    yield
    os.umask(0o022)


def modes(folder: str) -> set[int]:
    paths = [Path(folder), *Path(folder).rglob("*")]
    return {stat.S_IMODE(path.stat().st_mode) for path in paths}


# A6


def test_what_is_private_is_the_users_alone_and_the_rest_follows_umask():
    """Fault A6: artifact folders were 0755 and, under umask 077, result.json was 0644."""
    os.umask(0o022)
    argv = [*TUNE, "--output", "out", "--defense", VECTOR, "--defense", "panacea:rho=.1"]
    assert main([*argv, "--save-steps", "1"]) == 0
    assert modes("out") <= {0o755, 0o644, 0o600}  # Safetensors makes its own files 0600.
    assert modes("out-artifacts") == {0o700, 0o600}
    secrets = {
        f"{file}:{name}": Secret(tensor)
        for file in Path("out-artifacts").rglob("*.safetensors")
        for name, tensor in load_file(file).items()
        if tensor.numel() >= 64
    }
    assert len(secrets) > 20
    assert leaks([Path("out")], secrets) == []
    os.umask(0o077)
    assert main([*REPAIR, "--output", "tight"]) == 0
    assert modes("tight") == {0o700, 0o600}
    assert modes("tight-artifacts") == {0o700, 0o600}


# A4


def test_a_perturbation_is_private_unless_it_is_exported():
    """Fault A4: the perturbation and its patch were as readable as the model beside them."""
    os.umask(0o022)
    assert main([*REPAIR, "--output", "out", "--export", "for-others"]) == 0
    name = "panacea/perturbation.safetensors"
    assert modes("out-artifacts") == {0o700, 0o600}
    assert modes("for-others") == {0o755, 0o644}
    assert stat.S_IMODE(Path("out/result.json").stat().st_mode) == 0o644
    kept, handed_on = load_file(f"out-artifacts/{name}"), load_file(f"for-others/{name}")
    assert kept.keys() == handed_on.keys()
    assert all(kept[key].equal(handed_on[key]) for key in kept)


def test_a_folder_that_no_defense_filled_is_told_and_not_written():
    """--export left an empty folder, and --artifacts none, without a word."""
    places = ["--artifacts", "mine", "--export", "for-others"]
    assert main([*TUNE, *places, "--output", "out"]) == 0
    told = json.loads(Path("out/result.json").read_text())["warnings"]
    said = "no folder was written, as no defense of this run kept anything apart from the model"
    assert [line for line in told if said in line] == [
        f"`artifacts=mine`: {said}", f"`export=for-others`: {said}"
    ]  # fmt: skip
    assert not Path("mine").exists()
    assert not Path("for-others").exists()


# A5


NESTED = {
    "output in the model": [*TUNE, "--output", "model/tuned"],
    "output deep in the model": [*TUNE, "--output", "model/a/b"],
    "align's output in the model": ["align", *TUNE[1:], "--output", "model/tuned"],
    "artifacts in the model": [*TUNE, "--output", "out", "--artifacts", "model/vec"],
    "artifacts in the output": [*TUNE, "--output", "out", "--artifacts", "out/vec"],
    "artifacts are the output": [*TUNE, "--output", "out", "--artifacts", "./out"],
    "output in the artifacts": [*TUNE, "--output", "vec/out", "--artifacts", "vec"],
    "by a link": [*TUNE, "--output", "out", "--artifacts", "link/vec"],
    "repaired into the model": [*REPAIR, "--output", "model/repaired"],
    "repaired, artifacts above": [*REPAIR, "--output", "a/out", "--artifacts", "a"],
    "export in the output": [*REPAIR, "--output", "out", "--export", "out/x"],
    "export in the model": [*REPAIR, "--output", "out", "--export", "model/x"],
    "export above the artifacts": [*REPAIR, "--output", "out", "--artifacts", "x/vec",
                                   "--export", "x"],
    "evaluated into the model": [*EVALUATE, "--output", "model/eval"],
    "into somebody's model": [*EVALUATE, "--output", "other/eval"],
    "bench": ["bench", "quick", "--dry-run", "--out", "model/bench"],
}  # fmt: skip


@pytest.mark.parametrize("name", NESTED)
def test_nothing_is_written_inside_a_model_or_above_one(name, capfd):
    """Fault A5: MODEL/tuned, MODEL/vec and artifacts above the output were all accepted."""
    Path("link").symlink_to("model")
    Path("other").mkdir()
    for file in ("config.json", "model.safetensors"):
        (Path("other") / file).write_bytes((Path("model") / file).read_bytes())
    before = sorted(Path().rglob("*"))
    assert main(NESTED[name]) == 2
    said = capfd.readouterr().err
    assert "choose a folder outside" in said
    assert len(said.splitlines()) == 1
    assert sorted(Path().rglob("*")) == before


# A7


@pytest.mark.parametrize(
    ("given", "variable"),
    [
        ("hub_token=hf_sesame", "HF_TOKEN"),
        ("HF_TOKEN=hf_sesame", "HF_TOKEN"),
        ("WANDB_API_KEY=sesame", "WANDB_API_KEY"),
        ("wandb_api_key=sesame", "WANDB_API_KEY"),
        ("push_to_hub_token=sesame", "HF_TOKEN"),
        ("password=sesame", "environment variable"),
        ("run_name=hf_sesamesesamesesamesesame", "HF_TOKEN"),
        ("hub_model_id=https://me:sesame@host/x", "HF_TOKEN"),
        ('lr_scheduler_kwargs={"api_key":"sesame"}', "environment variable"),
    ],
)
def test_a_secret_is_no_option(given, variable, capfd):
    """Fault A7: hub_token lay in result.json, report.html, run.json and training_args.bin."""
    key, _, value = given.partition("=")
    Path("c.yaml").write_text(f"{key}: {value}\n")
    for argv in (["--set", given], ["--config", "c.yaml"]):
        assert main([*TUNE, "--output", "out", *argv]) == 2
        said = capfd.readouterr().err
        assert variable in said
        assert key in said
        assert "sesame" not in said
        assert not Path("out").exists()


def test_a_secret_in_another_field_is_refused_and_other_tokens_are_none(capfd):
    """Fault A7: what any field held was written into the result."""
    argv = [*TUNE, "--output", "out"]
    argv[argv.index("data.jsonl")] = "https://me:sesame@host/rows.jsonl"
    assert main(argv) == 2
    said = capfd.readouterr().err
    assert "`data`" in said or "--data" in said
    assert "sesame" not in said
    argv = [*TUNE, "--output", "out", "--set", "include_num_input_tokens_seen=all"]
    assert main([*argv, "--set", "average_tokens_across_devices=false"]) == 0
