"""``apply_*`` on a finished PEFT model is what the defense does at the end of a run, to the bit."""

import pytest
import torch
from datasets import Dataset, DatasetDict
from pandas import DataFrame
from peft import PeftConfig, PeftModel, inject_adapter_in_model, set_peft_model_state_dict
from safetensors.torch import load_file

import holdfast
from holdfast import (
    RESTA,
    Panacea,
    SafeLoRA,
    apply_natural_repair,
    apply_one_shot,
    apply_panacea,
    apply_resta,
    apply_safe_delta,
    apply_safe_lora,
)
from holdfast.errors import ConfigError, DataError, ModelError
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import BENIGN, HARMFUL, REFUSALS, lora, trained, trainer_of

SEED = 1
"""That of the runs of ``tiny_runs``."""


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("unaligned")
    tiny_model(seed=4).save_pretrained(path)
    return path


CASES = {
    "panacea": (
        lambda _: Panacea(harmful=HARMFUL, rho=0.1),
        lambda model, _: apply_panacea(model, HARMFUL, tiny_tokenizer(), rho=0.1, seed=SEED),
    ),
    "safe_lora": (
        lambda base: SafeLoRA(base=str(base), tau=0.9),
        lambda model, base: apply_safe_lora(model, base, tau=0.9),
    ),
    "resta": (
        lambda _: RESTA(harmful=HARMFUL, gamma=0.7, epochs=2, dare=0.3),
        lambda model, _: apply_resta(
            model, HARMFUL, tiny_tokenizer(), gamma=0.7, epochs=2, dare=0.3, seed=SEED
        ),
    ),
}


def everything(model):
    return {name: p.detach().clone() for name, p in model.named_parameters()}


def flags_of(model):
    return {name: p.requires_grad for name, p in model.named_parameters()}


@pytest.mark.parametrize("broken", [torch.nan, torch.inf])
@pytest.mark.parametrize("name", CASES)
def test_an_adapter_that_holds_no_numbers_is_left_as_it_is(name, broken, base):
    model = lora(tiny_model())
    factors = [p for n, p in model.named_parameters() if "lora_B" in n]
    with torch.no_grad():
        factors[-1][0, 0] = broken
    before = everything(model)
    with pytest.raises(
        ModelError, match=r"lora_B\.default\.weight holds entries that are no numbers"
    ):
        CASES[name][1](model, base)
    after = everything(model)
    assert all(torch.equal(p.nan_to_num(9), after[n].nan_to_num(9)) for n, p in before.items())


@pytest.mark.parametrize("name", CASES)
def test_a_finished_adapter_becomes_what_the_run_would_have_left(name, base, tmp_path):
    make, apply = CASES[name]
    plain = trained(tmp_path / "plain", model=lora(tiny_model()))
    plain.model.save_pretrained(tmp_path / "adapter")
    finished = PeftModel.from_pretrained(tiny_model(), tmp_path / "adapter")
    before, flags = (
        everything(finished),
        {n: p.requires_grad for n, p in finished.named_parameters()},
    )
    artifact = apply(finished, base)
    after = everything(finished)
    run = trained(tmp_path / "run", [make(base)], model=lora(tiny_model()))
    wanted = everything(run.model)
    assert after.keys() == wanted.keys()
    assert [n for n in after if not torch.equal(after[n], wanted[n])] == []
    moved = {n for n in after if not torch.equal(after[n], before[n])}
    assert moved
    assert all(".lora_" in n for n in moved)
    assert flags_of(finished) == flags
    [theirs] = run.artifacts
    assert artifact.report == theirs.report
    assert artifact.tensors.keys() == theirs.tensors.keys()
    for group, kept in theirs.tensors.items():
        assert kept.keys() == artifact.tensors[group].keys()
        assert all(torch.equal(artifact.tensors[group][n], kept[n]) for n in kept)


def test_safe_lora_needs_no_tokenizer_and_resta_with_a_vector_needs_none(base):
    assert apply_safe_lora(lora(tiny_model()), base, tau=0).report["projected"] == 0
    with pytest.raises(ConfigError, match="rows are read with the model's tokenizer"):
        apply_resta(lora(tiny_model()), HARMFUL)
    with pytest.raises(ConfigError, match="no such folder"):
        apply_safe_lora(lora(tiny_model()), base / "missing")


REFUSING = {
    **{name: case[1] for name, case in CASES.items()},
    "natural_repair": lambda model, _: apply_natural_repair(
        model, HARMFUL, tiny_tokenizer(), safe=REFUSALS, rise_from="aligned", lookalike=BENIGN,
        step=0.1, steps=1, max_new_tokens=3, enough=None, max_over_refusal=1.0,
    ),
    "one_shot": lambda model, _: apply_one_shot(
        model, REFUSALS, tiny_tokenizer(), steps=1, trial_steps=1, candidates=2, lr=1e-3
    ),
    "safe_delta": lambda model, _: apply_safe_delta(model, REFUSALS, tiny_tokenizer(), s=1e-4),
}  # fmt: skip


def put_in_by_transformers(model, folder):
    """What ``AutoModelForCausalLM.from_pretrained`` returns of an adapter's folder."""
    model.load_adapter(str(folder))
    return model


def put_in_by_peft(model, folder):
    """What PEFT's low-level door returns, with the adapter's tensors."""
    model = inject_adapter_in_model(PeftConfig.from_pretrained(folder), model)
    set_peft_model_state_dict(model, load_file(folder / "adapter_model.safetensors"))
    return model


@pytest.mark.parametrize("put_in", [put_in_by_transformers, put_in_by_peft])
@pytest.mark.parametrize("name", REFUSING)
def test_an_adapter_in_a_model_of_no_peft_class_is_repaired_alike(name, put_in, base, tmp_path):
    lora(tiny_model()).save_pretrained(tmp_path)
    ours, theirs = PeftModel.from_pretrained(tiny_model(), tmp_path), put_in(tiny_model(), tmp_path)
    before, flags = everything(theirs), flags_of(theirs)
    for model in (ours, theirs):
        REFUSING[name](model, base)
    wanted = {n.removeprefix("base_model.model."): p for n, p in everything(ours).items()}
    after = everything(theirs)
    assert [n for n in after if not torch.equal(after[n], wanted[n])] == []
    assert any(not torch.equal(after[n], before[n]) for n in after)
    assert flags_of(theirs) == flags


TEXTS = [{"prompt": "how to make a zorba", "completion": "make the sum"}]
NO_ROWS = {
    "stream": (lambda: Dataset.from_list(HARMFUL).to_iterable_dataset(), "is a IterableDataset"),
    "generator": (lambda: (row for row in HARMFUL), "is a generator"),
    "splits": (lambda: DatasetDict(a=Dataset.from_list(HARMFUL)), "is a DatasetDict.*one split"),
    "path": (lambda: "rows.jsonl", "is a str"),
    "one row": (lambda: HARMFUL[0], "is a dict"),
    "frame": (lambda: DataFrame(HARMFUL), r"is a DataFrame.*to_dict"),
    "frames": (lambda: Dataset.from_list(HARMFUL).with_format("pandas"), "begins with a DataFrame"),
    "texts": (lambda: ["zorba"], "begins with a str"),
    "text columns": (lambda: TEXTS, "row 1.*list of messages.*`prompt` as a str"),
    "other columns": (lambda: [{"messages": []}], "row 1.*got the columns messages"),
    "prompts": (lambda: [{"prompt": HARMFUL[0]["prompt"]}], "row 1.*got the columns prompt"),
}  # fmt: skip


@pytest.mark.parametrize("kind", NO_ROWS)
def test_what_is_no_data_set_is_one_line_before_anything(kind, tmp_path):
    """Each was a traceback, and a Dataset in pandas' format gave another edit without a word."""
    make, said = NO_ROWS[kind]
    model = lora(tiny_model())
    before = everything(model)
    with pytest.raises(DataError, match=f"panacea:? `harmful`.*{said}"):
        apply_panacea(model, make(), tiny_tokenizer())
    with pytest.raises(DataError, match="panacea"):
        trainer_of(tmp_path, [Panacea(harmful=make())], model=model)
    assert all(torch.equal(p, before[n]) for n, p in everything(model).items())


@pytest.mark.parametrize("around", [
    torch.no_grad, torch.inference_mode, lambda: torch.autocast("cpu", dtype=torch.bfloat16),
])  # fmt: skip
@pytest.mark.parametrize("name", REFUSING)
def test_the_mode_of_who_calls_changes_nothing(name, around, base):
    """In inference mode one-shot ended as if it had repaired; under autocast edits were coarse."""
    wanted, found = lora(tiny_model()), lora(tiny_model())
    REFUSING[name](wanted, base)
    with around():
        REFUSING[name](found, base)
    assert all(torch.equal(p, everything(wanted)[n]) for n, p in everything(found).items())


def test_all_three_are_public():
    for name in ("apply_panacea", "apply_resta", "apply_safe_lora"):
        assert name in holdfast.__all__
        assert getattr(holdfast, name).__doc__
