"""What no one would give on purpose is one line that names it, before anything is computed."""

import json
import os
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from holdfast.cli import main
from holdfast.commands.evaluate import evaluate_model
from holdfast.errors import ConfigError, HoldfastError
from holdfast.inputs.configs import EvaluateConfig
from tests.end_to_end.strangers import EVALUATE, TUNE, strange
from tests.tiny import TEMPLATE

pytestmark = pytest.mark.thorough  # Many like cases: left out of `make test-fast`.

__all__ = ["strange"]

DEEP = "[" * 100_000 + "]" * 100_000
NESTED = "[" * 500 + "]" * 500
LONGEST_WAIT = 20
VECTOR = [*TUNE, "--harmful", "rows.jsonl", "--defense"]


def refused(capfd, argv, *said):
    """Run the command: exit code 2, one line that says all this, nothing written, no waiting."""
    before = sorted(Path().rglob("*"))
    capfd.readouterr()
    start = time.perf_counter()
    code = main(argv)
    out, err = capfd.readouterr()
    assert "fault of holdfast" not in err
    assert code == 2, err
    assert out == ""
    assert err.count("\n") == 1, err
    for words in said:
        assert words in err
    assert time.perf_counter() - start < LONGEST_WAIT
    assert sorted(Path().rglob("*")) == before


def template(text):
    return lambda strange: (strange.root / "model/chat_template.jinja").write_text(text)


def yaml(text):
    return lambda strange: (strange.root / "c.yaml").write_text(text)


def written(name, text):
    def write(strange):
        path = strange.root / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    return write


def bad_parquet(strange):
    text = pa.array(["q", b"\xff\xfe".decode(errors="surrogateescape")[:0] or "x"])
    bad = pa.StringArray.from_buffers(
        2, pa.py_buffer(b"\0\0\0\0\1\0\0\0\3\0\0\0"), pa.py_buffer(b"q\xff\xfe")
    )
    pq.write_table(pa.table({"prompt": bad, "completion": text}), strange.root / "rows.parquet")


def dates_out_of_range(strange):
    column = pa.array([2**62], pa.timestamp("ms"))
    pq.write_table(
        pa.table({"prompt": column, "completion": column}), strange.root / "rows.parquet"
    )


def nothing(_):
    """The command line is enough."""


CONFIG = [*TUNE, "--config", "c.yaml"]
PARQUET = [*TUNE, "--data", "rows.parquet"]
E12 = {
    "path with NUL": (nothing, [*EVALUATE, "--task", "a\0b.jsonl"], ["NUL"]),
    "path with half a character": (nothing, [*EVALUATE, "--output", "a\udc80"], ["not UTF-8"]),
    "output too long": (nothing, [*EVALUATE, "--output", "a" * 300], ["--output", "too long"]),
    "adapter too long": (nothing, [*EVALUATE, "--adapter", "a/" * 3000], ["--adapter", "too long"]),
    "model too long": (nothing, [*EVALUATE, "--model", "a" * 300], ["--model", "too long"]),
    "data too long": (nothing, [*EVALUATE, "--task", "a" * 300 + ".jsonl"], ["too long"]),
    "result too long": (nothing, ["compare", "a" * 300, "b"], ["too long"]),
    "deep result": (written("r.json", DEEP), ["compare", "r.json", "r.json"], ["r.json", "deep"]),
    "nested result": (written("r.json", NESTED), ["claims", "r.json"], ["r.json", "deep"]),
    "deep modules": (
        written("m.json", DEEP), [*TUNE, "--defense", "ml_lr:modules=m.json"], ["m.json", "deep"],
    ),
    "deep config": (written("model/config.json", DEEP), EVALUATE, ["config.json", "deep"]),
    "config of another kind": (written("model/config.json", "[]"), EVALUATE, ["config.json"]),
    "deep row": (
        written("rows.jsonl", f'{{"prompt": {DEEP}, "completion": "a"}}\n'),
        TUNE, ["row 1", "nest"],
    ),
    "deep YAML": (yaml(f"a: {DEEP}"), CONFIG, ["c.yaml", "not valid YAML"]),
    "YAML that holds itself": (
        yaml("lr_scheduler_kwargs: &a {b: *a}"), CONFIG, ["c.yaml", "levels deep"],
    ),
    "nested YAML": (
        yaml(f"lr_scheduler_kwargs: {{b: {'[' * 150}{']' * 150}}}"), CONFIG, ["levels deep"],
    ),
    "a recipe that holds itself": (
        written("r.yaml", "arms: &a [*a]\n"), ["bench", "r.yaml", "--out", "o"], ["levels deep"],
    ),
    "scheduler options of another kind": (
        yaml("lr_scheduler_type: polynomial\nlr_scheduler_kwargs: {nope: 1}"), CONFIG, ["nope"],
    ),
    "scheduler options that are a number": (yaml("lr_scheduler_kwargs: 3"), CONFIG, ["mapping"]),
    "optimizer options": (yaml("adam_beta1: 5"), CONFIG, ["refuses", "beta"]),
    "workers below none": (yaml("dataloader_num_workers: -1"), CONFIG, ["refuses", "num_workers"]),
    "deepspeed of another kind": (yaml("deepspeed: 3"), CONFIG, ["refuses"]),
    "accelerator of another kind": (yaml("accelerator_config: [1]"), CONFIG, ["refuses"]),
    "no full batch, and no other": (
        nothing, [*TUNE, "--batch-size", "99", "--set", "dataloader_drop_last=true"],
        ["no step would be taken", "--batch-size"],
    ),
    "a rank and no adapter": (nothing, [*TUNE, "--lora-r", "4"], ["--lora-r 4", "add --lora,"]),
    "modules and no adapter": (
        nothing, [*TUNE, "--lora-targets", "q_proj"], ["--lora-targets q_proj", "add --lora,"],
    ),
    "no steps": (nothing, [*TUNE, "--max-steps", "0"], ["--max-steps 0", "at least 1"]),
    "fewer than no steps": (nothing, [*TUNE, "--max-steps", "-2"], ["--max-steps -2"]),
    "a seed too large": (nothing, [*TUNE, "--seed", str(2**32)], ["--seed", "at most"]),
    "a limit too large": (nothing, [*EVALUATE, "--limit", str(2**70)], ["--limit", "at most"]),
    "an answer too long": (
        nothing, [*EVALUATE, "--max-new-tokens", str(2**40)], ["--max-new-tokens", "at most"],
    ),
    "Parquet that is no UTF-8": (bad_parquet, PARQUET, ["rows.parquet", "not UTF-8"]),
    "Parquet with odd dates": (dates_out_of_range, PARQUET, ["rows.parquet"]),
    "template without its prompts": (template("same"), EVALUATE, ["leaves the user's messages"]),
    "template without its answers": (
        template("{{ messages[0].content }}"), TUNE, ["leaves the assistant's messages"],
    ),
}  # fmt: skip
PACKAGES = {
    "optim=schedule_free_adamw": "schedulefree",
    "optim=galore_adamw": "galore", "optim=lomo": "lomo", "report_to=wandb": "wandb",
    "report_to=mlflow": "mlflow", "use_liger_kernel=true": "liger",
}  # fmt: skip


@pytest.mark.parametrize(("setup", "argv", "said"), E12.values(), ids=E12.keys())
def test_it_is_named(strange, capfd, setup, argv, said):
    """Fault E12: paths with NUL, deep JSON and wrong types were called a fault of holdfast."""
    setup(strange)
    refused(capfd, argv, *said)


@pytest.mark.parametrize(("option", "package"), PACKAGES.items())
def test_a_missing_package_is_named(strange, capfd, option, package):
    """Fault E12: a missing bitsandbytes or wandb was a fault of holdfast, after measuring."""
    refused(capfd, [*TUNE, "--set", option, "--test-task", "rows.jsonl"], package)


OPTIONS_INSIDE = {
    'gradient_checkpointing_kwargs={"foo": 1}': "unknown key 'foo'; known: use_reentrant",
    'gradient_checkpointing_kwargs={"use_reentrant": "no"}': "use_reentrant='no' cannot be",
    'gradient_checkpointing_kwargs={"debug": 1}': "debug=1 cannot be: expected true or false",
    "gradient_checkpointing_kwargs=5": "kwargs=5`: expected a mapping",
    "parallelism_config=5": "expected a mapping",
    'dataset_kwargs={"skip_prepare_dataset": true}': "expected false",
    "lr_scheduler_kwargs=x": "lr_scheduler_kwargs=x",
    "optim_args=x": "expected KEY=VALUE",
}


@pytest.mark.parametrize(("option", "said"), OPTIONS_INSIDE.items())
def test_an_option_inside_an_option_is_named(strange, capfd, option, said):
    """Fault E12: an unknown key in a mapping was a fault of holdfast, after measuring."""
    argv = [*TUNE, "--set", "gradient_checkpointing=true", "--set", option]
    refused(capfd, argv, option.partition("=")[0], said)


@pytest.mark.skipif(torch.accelerator.is_available(), reason="fp16 does what it says there")
def test_fp16_on_a_processor_is_refused(strange, capfd):
    """It changed nothing, and the result said that it had."""
    refused(capfd, [*TUNE, "--set", "fp16=true"], "fp16", "bf16")


def test_bf16_on_a_processor_trains_there(strange):
    """Fault E12: bf16=true on a CPU was refused and did not say use_cpu=true."""
    if torch.accelerator.is_available():
        pytest.skip("this machine has an accelerator")
    assert main([*TUNE, "--set", "bf16=true"]) == 0
    options = json.loads(Path("out/result.json").read_text())["config"]["training"]
    assert options["use_cpu"] is True


VECTORS = [
    {"r": 0}, {"r": "x"}, {"r": None}, {"r": 1e300}, {"r": True}, {"r": 70_000}, {"r": 1000},
    {"lora_alpha": "x"}, {"lora_alpha": [1]}, {"rank_pattern": [1]},
    {"rank_pattern": {"q_proj": 0}},
    {"alpha_pattern": {"q_proj": "x"}}, {"target_modules": 3}, {"target_modules": [1]},
    {"lora_dropout": 2}, {"bias": 1}, {"layers_to_transform": ["x"]}, {"peft_type": "LORAX"},
    {"base_model_name_or_path": 3}, {"layer_replication": [[0, 10**7]]},
    {"megatron_config": {"a": 1}},
]  # fmt: skip


@pytest.mark.parametrize("changes", VECTORS, ids=str)
@pytest.mark.parametrize(
    "argv",
    [
        [*EVALUATE, "--adapter", "adapter"],
        [*VECTOR, "security_vectors:vector=adapter,kl_weight=0"],
        [*VECTOR, "resta:vector=adapter"],
    ],
    ids=["adapter", "vector", "direction"],
)
def test_an_adapters_config_is_checked(strange, capfd, argv, changes):
    """Fault E12: a vector's adapter config with r: 0 or r: "x" was a fault of holdfast."""
    strange.adapter(**changes)
    refused(capfd, argv, "adapter", next(iter(changes)).split("_")[0].removesuffix("r"))


@pytest.mark.parametrize("text", ["[]", "3", "null", DEEP, '{"r": 1', '"LORA"', "\0"], ids=len)
def test_an_adapters_config_is_an_object(strange, capfd, text):
    """Fault E12: an adapter config that is a list was a fault of holdfast."""
    strange.adapter()
    (strange.root / "adapter/adapter_config.json").write_text(text)
    refused(capfd, [*EVALUATE, "--adapter", "adapter"], "adapter_config.json")


def test_without_a_home_all_is_well(strange, monkeypatch):
    """Fault E12: without HOME a run was a fault of holdfast."""

    def nobody(_):
        raise KeyError("no such user")

    monkeypatch.setattr("pwd.getpwuid", nobody)
    monkeypatch.delenv("HOME", raising=False)
    assert main([*EVALUATE, "--output", "out"]) == 0
    assert "HOME" not in os.environ
    assert not Path("~").exists()


@pytest.mark.parametrize("changes", [{"task": "a\0b"}, {"output": Path("x" * 300)}, {"limit": 0}])
def test_python_gets_the_same_errors(strange, changes):
    """Fault E12: paths with NUL were called a fault of holdfast."""
    with pytest.raises(HoldfastError) as caught:
        evaluate_model(EvaluateConfig(**{"model": "model", "task": "rows.jsonl", **changes}))
    assert isinstance(caught.value, ConfigError)


LOOP = "{% for i in range(99999) %}"
ENDLESS = {
    "loops in loops": LOOP * 2 + "{% endfor %}" * 2,
    "a long loop": "{% for i in range(10**9) %}{% endfor %}",
    "a huge power": "{{ 10**10**10 }}",
    "a huge text": "{{ 'a' * 9999999999 }}",
    "much text": "{% for i in range(90000) %}{{ messages[0].content }} and on it goes{% endfor %}",
    "a macro that calls itself": "{% macro a() %}{{ a() }}{{ a() }}{% endmacro %}{{ a() }}",
}
SLOW = "(a|a|aa|.a|q_proj|[a-z_.]+)+" * 6 + "!"


@pytest.fixture
def hasty(monkeypatch):
    monkeypatch.setattr("holdfast.files.guarded.limits.MOST_SECONDS", 0.2)


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("text", ENDLESS.values(), ids=ENDLESS.keys())
def test_a_template_has_an_end(strange, capfd, text):
    """Fault E14: an endless Jinja template hung."""
    template(f"{TEMPLATE}{text}")(strange)
    refused(capfd, EVALUATE, "template")


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "changes", [{"target_modules": SLOW}, {"rank_pattern": {SLOW: 2}}, {"target_modules": "("},
                {"alpha_pattern": {"(" * 5000: 1}}, {"exclude_modules": SLOW}],
    ids=["targets", "ranks", "no pattern", "scales", "left out"],
)  # fmt: skip
def test_a_pattern_has_an_end(strange, capfd, changes):
    """Fault E14: a regular expression in an adapter config hung."""
    strange.adapter(**changes)
    refused(capfd, [*EVALUATE, "--adapter", "adapter"], "adapter", "pattern")


SIZES = [
    {"num_hidden_layers": 10**7}, {"vocab_size": 10**9}, {"hidden_size": 10**8},
    {"intermediate_size": 10**12}, {"num_hidden_layers": "x"}, {"num_attention_heads": 10**9},
    {"num_hidden_layers": -1}, {"head_dim": 10**9},
]  # fmt: skip


@pytest.mark.parametrize("changes", SIZES, ids=str)
def test_a_config_is_no_larger_than_its_weights(strange, capfd, changes):
    """Fault E14: num_hidden_layers: 1e7 hung."""
    strange.change("model/config.json", **changes)
    refused(capfd, EVALUATE, "config.json", next(iter(changes)))


def test_a_row_is_no_larger_than_a_limit(strange, capfd, monkeypatch):
    """Fault E14: a line without an end was read to its end."""
    monkeypatch.setattr("holdfast.data.formats.json_lines.MOST_LINE", 1000)
    written("rows.jsonl", json.dumps({"prompt": "q" * 2000, "completion": "a"}))(strange)
    refused(capfd, EVALUATE, "row 1", "MiB")


@pytest.mark.parametrize("name", ["r.json", "c.yaml"])
def test_a_pipe_is_no_file(strange, capfd, name):
    """Fault E14: a pipe in place of a file hung."""
    os.mkfifo(name)
    argv = ["compare", name, name] if name == "r.json" else CONFIG
    refused(capfd, argv, name)


BIG = [
    "seeds: 10000000", "seeds: [0, 4294967296]", "rows: 1000000000", "defender_rows: 999999999",
    "items_per_kind: 1000000000", "learning_rate: [" + ", ".join(["0.001"] * 500) + "]\nseeds: 999",
]  # fmt: skip


@pytest.mark.parametrize("text", BIG, ids=range(len(BIG)))
def test_a_recipe_is_of_a_size_that_can_run(strange, capfd, text):
    """Fault E14: a recipe of ten million seeds was counted for hours."""
    (strange.root / "big.yaml").write_text(text)
    refused(capfd, ["bench", "big.yaml", "--out", "bench", "--dry-run"], "big.yaml", "expected")


@pytest.mark.parametrize("argv", [["demo", "--out", "d"], ["organism", "check"]])
def test_seeds_are_few_enough(strange, capfd, argv):
    """Fault E14: a recipe of ten million seeds was counted for hours."""
    refused(capfd, [*argv, "--seeds", "10000000"], "--seeds 10000000", "at most")
