"""What a stranger's folder names is neither fetched nor unpickled."""

import json
import pickle
from pickle import UnpicklingError

import pytest
import torch
from trl import SFTConfig

from holdfast import SecureSFTTrainer
from holdfast.cli import main
from holdfast.errors import HoldfastError, ModelError
from holdfast.inputs.models import load_model
from tests.end_to_end.strangers import EVALUATE, REPAIR, TUNE, Bomb, strange
from tests.tiny import tiny_examples, tiny_model, tiny_tokenizer

__all__ = ["strange"]

HUB = "somebody/a-model"
INDEX = "model/model.safetensors.index.json"


def refused(capfd, argv, *said):
    """Run the command, which must end with one line that says all this."""
    capfd.readouterr()
    code = main(argv)
    out, err = capfd.readouterr()
    assert code == 2, err
    assert out == ""
    assert err.count("\n") == 1
    assert "fault of holdfast" not in err
    for words in said:
        assert words in err


ALIGN = ["align", *TUNE[1:], "--defense", "vaccine"]
RESTA = [*TUNE, "--harmful", "rows.jsonl", "--defense", "resta:aligned=model"]


@pytest.mark.parametrize(
    "argv", [[*EVALUATE, "--adapter", "adapter"], REPAIR, [*TUNE, "--lora"], ALIGN, RESTA]
)
def test_a_base_on_the_hub_is_not_asked_for(strange, argv):
    """Fault E9: an adapter whose base is a hub id made a run of local names ask the hub."""
    strange.adapter(base_model_name_or_path=HUB)
    strange.change("model/config.json", _name_or_path=HUB)
    assert main(argv) == 0


@pytest.mark.parametrize(
    "changes",
    [
        {"attn_implementation": "somebody/kernel"},
        {"_attn_implementation": "somebody/kernel@v1:run"},
        {"experts_implementation": "somebody/kernel"},
        {"auto_map": {"AutoModelForCausalLM": f"{HUB}--code.Model"}},
    ],
)
def test_code_that_a_config_names_is_not_fetched(strange, changes):
    """Fault E9: an attention named owner/kernel was looked for on the hub."""
    strange.change("model/config.json", **changes)
    model, _ = load_model("model")
    assert model.config._attn_implementation in ("sdpa", "eager")


@pytest.mark.parametrize("kind", ["SHADOW", "XLORA", "LOHA", "lora", None, 3, ["LORA"]])
def test_adapters_of_other_kinds_are_refused(strange, capfd, kind):
    """Fault E9: a SHADOW or XLORA adapter was loaded, and with it the models that it names."""
    strange.adapter(peft_type=kind)
    refused(capfd, [*EVALUATE, "--adapter", "adapter"], "adapter", "peft_type", "only LORA")


def test_an_adapter_given_as_the_model_names_its_base(strange, capfd):
    """Fault E9: an adapter in place of the model did not say which base to give."""
    strange.adapter(base_model_name_or_path=HUB)
    argv = [*EVALUATE, "--model", "adapter"]
    refused(capfd, argv, "--model adapter", "is an adapter", repr(HUB), "--adapter")


def no_weights(strange):
    (strange.root / "model/model.safetensors").rename(strange.root / "model/decoy.safetensors")


def indexed(strange, *names, index="model.safetensors.index.json"):
    no_weights(strange)
    for name in names:
        (strange.root / "model" / name).parent.mkdir(exist_ok=True)
        torch.save(Bomb(), strange.root / "model" / name)
    shards = {f"tensor.{n}": name for n, name in enumerate(names)}
    (strange.root / "model" / index).write_text(json.dumps({"weight_map": shards}))


MODELS = {
    "index names pickles beside a decoy": lambda s: indexed(s, "pytorch_model-1.bin"),
    "index of pickles beside a decoy": lambda s: indexed(
        s, "pytorch_model-1.bin", index="pytorch_model.bin.index.json"
    ),
    "index leads out of the folder": lambda s: indexed(s, "../other/model.safetensors"),
    "index names what is missing": lambda s: (
        no_weights(s),
        (s.root / INDEX).write_text('{"weight_map": {"a": "b.safetensors"}}'),
    ),
    "index without a map": lambda s: (
        no_weights(s), (s.root / INDEX).write_text("[1]"),
    ),
    "pickle beside a decoy": lambda s: (
        no_weights(s), torch.save(Bomb(), s.root / "model/pytorch_model.bin"),
    ),
    "config names a pickle": lambda s: (
        torch.save(Bomb(), s.root / "model/own.bin"),
        s.change("model/config.json", transformers_weights="own.bin"),
    ),
    "pickle by the name of safetensors": lambda s: (
        s.root / "model/model.safetensors").write_bytes(pickle.dumps(Bomb())),
}  # fmt: skip


@pytest.mark.parametrize("plant", MODELS.values(), ids=MODELS.keys())
def test_no_model_is_unpickled(strange, capfd, plant):
    """Fault E10: an index naming pytorch_model-*.bin beside a decoy was read by torch.load."""
    plant(strange)
    refused(capfd, EVALUATE, "model")
    assert not (strange.root / "exploded").exists()


@pytest.mark.parametrize("suffix", ["bin", "pt", "ckpt"])
def test_no_adapter_is_unpickled(strange, capfd, suffix):
    """Fault E10: what SECURITY.md promises of models held for adapters by no test."""
    strange.adapter()
    weights = strange.root / "adapter/adapter_model.safetensors"
    torch.save(Bomb(), weights.with_suffix(f".{suffix}"))
    weights.unlink()
    refused(capfd, [*EVALUATE, "--adapter", "adapter"], "adapter_model.safetensors", "pickles")
    assert not (strange.root / "exploded").exists()


def test_the_loader_says_the_same_from_python(strange):
    """Fault E10: an index naming pytorch_model-*.bin beside a decoy was read by torch.load."""
    indexed(strange, "pytorch_model-1.bin")
    with pytest.raises(ModelError, match="may be a pickle"):
        load_model("model")


CHECKPOINT = {
    "weights": "pytorch_model.bin",
    "a shard": "pytorch_model-00001-of-00002.bin",
    "an adapter": "adapter_model.bin",
    "an adapter of its own": "other/adapter_model.bin",
    "the optimizer": "optimizer.pt",
    "random numbers": "rng_state.pth",
}


@pytest.mark.parametrize("name", CHECKPOINT.values(), ids=CHECKPOINT.keys())
def test_no_checkpoint_is_unpickled(strange, name):
    """Fault E10: a checkpoint with pytorch_model.bin was read through torch.load."""
    options = SFTConfig(
        "run", max_steps=2, save_steps=1, use_cpu=True, bf16=False, report_to="none",
        disable_tqdm=True,
    )  # fmt: skip

    def trainer():
        given = {"processing_class": tiny_tokenizer(), "train_dataset": tiny_examples(4)}
        return SecureSFTTrainer(model=tiny_model(), args=options, **given)

    trainer().train()
    target = strange.root / "run/checkpoint-1" / name
    target.parent.mkdir(exist_ok=True)
    torch.save(Bomb(), target)
    if "model" in name:
        (strange.root / "run/checkpoint-1/model.safetensors").unlink()
    with pytest.raises((HoldfastError, UnpicklingError)):
        trainer().train(resume_from_checkpoint="run/checkpoint-1")
    assert not (strange.root / "exploded").exists()
