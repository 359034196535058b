"""A repair shard by shard: bit for bit the one in memory, with the memory of a shard or two."""

import gc
import json
from pathlib import Path

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from holdfast.commands.repair import repair
from holdfast.errors import ConfigError, InputError, ModelError
from holdfast.files.adapters import adapter_files
from holdfast.inputs.configs import RepairConfig
from holdfast.ops.low_rank import LowRank
from holdfast.report.answers import warnings_of
from tests.tiny import CONFIGS, tiny_model, tiny_rows, tiny_tokenizer
from tests.zoo import zoo_model

SHARD = 20_000
"""Bytes of a shard, at most: a tiny model has several."""
TUNED = "tuned"


def moved(model, by=0.01, seed=3):
    rng = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(by * torch.randn(p.shape, generator=rng))
    return model


def folders(make, shard=SHARD):
    for name, model in (("aligned", make(0)), ("base", make(1)), (TUNED, moved(make(0)))):
        model.save_pretrained(name, max_shard_size=shard)
        tiny_tokenizer().save_pretrained(name)


def vector(model, folder="vector", seed=5):
    rng = torch.Generator().manual_seed(seed)
    made = LowRank.zero(model, 2, 4, None, 0)
    for tensor in made.parameters():
        tensor.add_(0.05 * torch.randn(tensor.shape, generator=rng))
    tensors, config = adapter_files(made.tensors(), "aligned")
    Path(folder).mkdir()
    save_file(tensors, f"{folder}/adapter_model.safetensors")
    Path(folder, "adapter_config.json").write_text(json.dumps(config))


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


METHODS = {
    "safe_lora": "safe_lora:base=base,aligned=aligned,tau=1",
    "safe_lora, some": "safe_lora:base=base,aligned=aligned,tau=0.72",
    "resta": "resta:vector=vector,gamma=0.5",
    "resta with DARE": "resta:vector=vector,aligned=aligned,dare=0.3,seed=4",
}


def weights(folder):
    found = {}
    for file in sorted(Path(folder).glob("*.safetensors")):
        found |= load_file(file)
    return found


def both(method, **given):
    made = {}
    for name, streamed in (("memory", False), ("shards", True)):
        output = Path(f"{name}-out")
        config = {"model": TUNED, "method": method, "output": output, **given}
        made[name] = repair(RepairConfig(**config, streamed=streamed, overwrite=True))
    return made


@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
@pytest.mark.parametrize("kind", ["llama", "gpt2", "gpt_neox", "phi3"])
def test_every_bit_is_that_of_the_repair_in_memory(method, kind):
    folders(lambda seed: zoo_model(kind, seed))
    vector(zoo_model(kind))
    both(method)
    assert len(list(Path("shards-out").glob("model-*.safetensors"))) > 1
    memory, shards, before = (
        AutoModelForCausalLM.from_pretrained(name, dtype=torch.float32).state_dict()
        for name in ("memory-out", "shards-out", TUNED)
    )
    assert memory.keys() == shards.keys()
    cards = [Path(f"{n}-out/README.md").read_text() for n in both_names()]
    assert cards[0] == cards[1]
    assert [n for n, value in memory.items() if not torch.equal(value, shards[n])] == []
    assert [n for n, value in memory.items() if not torch.equal(value, before[n])] != []
    one, other = (json.loads(Path(f"{n}-out/config.json").read_text()) for n in both_names())
    assert one == other
    index = Path("shards-out/model.safetensors.index.json")
    assert json.loads(index.read_text())["weight_map"].keys() == weights("shards-out").keys()


def test_a_mixture_of_experts_too():
    test_every_bit_is_that_of_the_repair_in_memory(METHODS["resta"], "qwen3_moe")
    for method in (METHODS["safe_lora"], METHODS["resta with DARE"]):
        for streamed in (False, True):
            with pytest.raises(ModelError, match="experts"):
                repair(RepairConfig(model=TUNED, method=method, output=Path("no"),
                                    streamed=streamed))  # fmt: skip


def both_names():
    return "memory", "shards"


def test_a_repair_that_ran_is_not_said_to_be_missing_from_the_trace():
    """Each repair warned that its trace does not show that it ran: there was none."""
    folders(lambda seed: tiny_model(seed=seed))
    vector(tiny_model())
    for result in both(METHODS["resta"]).values():
        (run,) = result.arms[-1].runs
        assert [(one.defense, one.hook, one.calls) for one in run.trace] == [("resta", "after", 1)]
        assert not [line for line in warnings_of(result) if "trace" in line]
        bare = run.model_copy(update={"trace": []})
        arms = [result.arms[-1].model_copy(update={"runs": [bare]})]
        assert any("trace" in w for w in warnings_of(result.model_copy(update={"arms": arms})))


@pytest.mark.parametrize("method", list(METHODS.values())[1:3])
def test_what_is_told_is_the_same(method):
    folders(lambda seed: tiny_model(seed=seed))
    vector(tiny_model())
    results = both(method)
    name = method.partition(":")[0]
    for made, result in results.items():  # Every repair's report warned that it had not run.
        assert [(t.defense, t.hook, t.calls) for t in result.arms[-1].runs[0].trace] == [
            (name, "after", 1)
        ]
        assert "The trace does not show" not in Path(f"{made}-out/report.html").read_text()
    one, other = (
        {f.name: json.loads(f.read_text()) for f in Path(f"{n}-out-artifacts", name).glob("*.json")}
        for n in both_names()
    )
    assert one.keys() == other.keys()
    for document in (*one.values(), *other.values()):
        document.pop("norm", None)  # A sum of squares in another order.
    assert one == other


def told(capsys):
    """Return the notes of a method on stderr, without the bars of others."""
    lines = capsys.readouterr().err.splitlines()
    return [line for line in lines if line.startswith(("safe_lora: ", "resta: "))]


@pytest.mark.parametrize("kind", ["kin", "unrelated"])
@pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)
def test_what_is_said_is_the_same_also_of_a_folder_that_is_no_kin(method, kind, capsys):
    """The notes go to stderr and the log, and of an unrelated ``aligned`` they warn."""
    folders(lambda seed: tiny_model(seed=seed))
    vector(tiny_model())
    if kind == "unrelated":
        method = method.replace("aligned=aligned", "aligned=base").replace(
            "base=base", "base=tuned"
        )
    said, logged = [], []
    for name, streamed in (("memory", False), ("shards", True)):
        output = Path(f"{name}-out")
        repair(RepairConfig(model=TUNED, method=method, output=output, streamed=streamed))
        said.append(told(capsys))
        logged.append([line.partition(" ")[2] for line in (output / "run.log").open()])
    # What a folder is compared with is all weights there, and those that are edited here.
    assert [line.partition(" (they")[0] for line in said[0]] == [
        line.partition(" (they")[0] for line in said[1]
    ]
    assert said[1]
    assert all(f"{line}\n" in logged[1] for line in said[1])
    warned = any("aligned=base has next to nothing" in line for line in said[1])
    assert warned == (kind == "unrelated" and "aligned" in method)


def test_what_is_said_of_an_adapter_beside_no_weights_is_the_same(capsys):
    """Its base was no kin of the aligned model, and that was told of the model in memory alone."""
    folders(lambda seed: tiny_model(seed=seed))
    moved(adapter := get_peft_model(tiny_model(), LoraConfig(r=2, task_type="CAUSAL_LM")))
    adapter.save_pretrained("adapter")
    given = {"model": "aligned", "adapter": Path("adapter"), "method": "safe_lora:base=base,tau=1"}
    said = []
    for name, streamed in (("memory", False), ("shards", True)):
        repair(RepairConfig(**given, output=Path(f"{name}-out"), streamed=streamed))
        said.append(told(capsys))
    assert said[0] == said[1]
    assert any("base=base has next to nothing" in line for line in said[1])


def test_an_adapter_is_repaired_beside_no_weights():
    folders(lambda seed: tiny_model(seed=seed))
    moved(vector_model := get_peft_model(tiny_model(), LoraConfig(r=2, task_type="CAUSAL_LM")))
    vector_model.save_pretrained("adapter")
    given = {"model": "aligned", "adapter": Path("adapter")}
    repair(RepairConfig(**given, method="safe_lora:base=base,tau=1", output=Path("memory-out")))
    repair(RepairConfig(**given, method="safe_lora:base=base,tau=1", output=Path("shards-out"),
                        streamed=True))  # fmt: skip
    one, other, before = map(weights, ("memory-out", "shards-out", "adapter"))
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert any(not torch.equal(one[name], before[name]) for name in one)


def test_low_precision_is_kept_where_it_is_asked_for():
    folders(lambda seed: tiny_model(seed=seed).to(torch.bfloat16))
    repair(RepairConfig(model=TUNED, method=METHODS["safe_lora"], output=Path("out"),
                        dtype="bfloat16", streamed=True))  # fmt: skip
    assert {value.dtype for value in weights("out").values()} == {torch.bfloat16}
    model = AutoModelForCausalLM.from_pretrained("out")
    assert model.dtype == torch.bfloat16


REFUSED = {
    "panacea": ({"method": "panacea"}, r"harmful"),
    "resta": ({"method": "resta:vector=vector,gamma=0"}, "needs passes through the whole model"),
    "questions": ({"test_harmful": "data.jsonl"}, r"`test_harmful=data.jsonl`: `streamed` loads"),
    "rows": ({"harmful": "data.jsonl"}, r"`harmful=data.jsonl`: `streamed` loads no model"),
    "no folder": ({"model": "organism"}, r"`streamed` needs the files of a model"),
    "no aligned": ({"method": "safe_lora:base=base"}, "need aligned="),
    "not aligned": ({"method": "safe_lora:base=base,aligned=base"}, "no alignment to project"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_what_cannot_be_streamed_is_one_line(fault):
    folders(lambda seed: tiny_model(seed=seed))
    vector(tiny_model())
    rows = [{"prompt": q, "completion": a} for q, a in tiny_rows(2)]
    Path("data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    given, said = REFUSED[fault]
    config = {"model": TUNED, "method": METHODS["safe_lora"], "output": Path("out"), **given}
    with pytest.raises(ConfigError, match=said):
        repair(RepairConfig(**config, streamed=True))
    assert not Path("out").exists()


def test_a_single_shard_with_an_index_is_written_with_one():
    """As some hub models are stored: without the index nothing would find the file."""
    folders(lambda seed: tiny_model(seed=seed), shard="1GB")
    shard, index = Path(TUNED, "model-00001-of-00001.safetensors"), "model.safetensors.index.json"
    Path(TUNED, "model.safetensors").rename(shard)
    names = dict.fromkeys(load_file(shard), shard.name)
    stale = {**names, "of.another.model": shard.name}
    Path(TUNED, index).write_text(json.dumps({"metadata": {}, "weight_map": stale}))
    both(METHODS["safe_lora"])
    memory, shards = (
        AutoModelForCausalLM.from_pretrained(f"{n}-out").state_dict() for n in both_names()
    )
    assert all(torch.equal(value, shards[name]) for name, value in memory.items())
    assert json.loads(Path("shards-out", index).read_text())["weight_map"] == names


def changed_config(**values):
    file = Path(TUNED, "config.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"num_hidden_layers": 1}, "has no place for"),  # The second would stay as it was tuned.
        ({"vocab_size": 50}, r"\(62, 32\) in the files and \(50, 32\) by the config"),
    ],
)
def test_a_config_of_another_model_is_refused_as_in_memory(values, said, streamed):
    folders(lambda seed: tiny_model(seed=seed))
    changed_config(**values)
    with pytest.raises(InputError, match=said):
        repair(RepairConfig(model=TUNED, method=METHODS["safe_lora"], output=Path("out"),
                            streamed=streamed))  # fmt: skip
    assert not Path("out").exists()


@pytest.mark.parametrize("streamed", [False, True])
@pytest.mark.parametrize("name", ["model.layers.1.mlp.up_proj.weight", "model.norm.weight"])
def test_weights_that_are_no_numbers_are_not_repaired(name, streamed):
    folders(lambda seed: tiny_model(seed=seed))
    model = AutoModelForCausalLM.from_pretrained(TUNED)
    with torch.no_grad():
        model.get_parameter(name).view(-1)[0] = torch.nan
    model.save_pretrained(TUNED, max_shard_size=SHARD)
    with pytest.raises(ModelError, match=rf"{name} holds entries that are no numbers"):
        repair(RepairConfig(model=TUNED, method=METHODS["safe_lora"], output=Path("out"),
                            streamed=streamed))  # fmt: skip
    assert not Path("out").exists()


def test_a_tokenizer_of_more_tokens_than_rows_is_refused():
    folders(lambda seed: tiny_model(seed=seed))
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["one", "two"])
    tokenizer.save_pretrained(TUNED)
    with pytest.raises(ModelError, match="64 tokens and its embedding 62 rows"):
        repair(RepairConfig(model=TUNED, method=METHODS["safe_lora"], output=Path("out"),
                            streamed=True))  # fmt: skip


LARGE = {"hidden_size": 256, "intermediate_size": 512, "num_hidden_layers": 40,
         "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 64}  # fmt: skip
MIB = 2**20


def peak(run):
    """The growth of this process's resident memory while the body runs, in bytes."""
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5")  # The high-water mark begins anew.
    before = memory("VmRSS")
    run()
    return memory("VmHWM") - before


def memory(field):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(field))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no Linux")
def test_the_peak_is_that_of_a_few_shards(monkeypatch):
    monkeypatch.setitem(CONFIGS, "llama", ("llama", LARGE))
    folders(lambda seed: tiny_model(seed=seed), shard=12 * MIB)
    whole = sum(file.stat().st_size for file in Path(TUNED).glob("*.safetensors"))
    shard = max(file.stat().st_size for file in Path(TUNED).glob("*.safetensors"))
    config = {"model": TUNED, "method": METHODS["safe_lora"], "streamed": True}
    repair(RepairConfig(**config, output=Path("warm")))  # What is imported and cached stays.
    used = peak(lambda: repair(RepairConfig(**config, output=Path("out"))))
    told = f"{used / MIB:.1f} MiB of {whole / MIB:.1f} in shards of {shard / MIB:.1f}"
    assert used < 1.5 * shard < whole / 3, told
