"""Each defense that reads an adapter's factors × each kind of adapter: exact, or refused."""

from contextlib import contextmanager

import pytest
import torch
from peft import LoraConfig, get_peft_model

from holdfast import (
    RESTA,
    Panacea,
    RandomPerturbation,
    SafeLoRA,
    SecureTrainer,
    SecurityVectors,
    Vaccine,
    repair,
)  # fmt: skip
from holdfast.defenses.resta.direction import origin_of
from holdfast.errors import ConfigError, HoldfastError, ModelError
from holdfast.files.adapters import read_adapter
from holdfast.ops.engine import LocalEngine
from holdfast.ops.low_rank import LowRank
from holdfast.ops.modules import plain_name, projections
from holdfast.ops.weights import put
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.defenses.adapter_kinds import KINDS, LORA_KINDS, adapted
from tests.unit.defenses.tiny_runs import HARMFUL, batch_of, trainer_of

pytestmark = pytest.mark.thorough  # Many like cases: left out of `make test-fast`.

EVERY = [*KINDS, "ia3"]
ASK = batch_of(HARMFUL[:3])


def logits(model):
    with torch.no_grad():
        return model.eval()(input_ids=ASK["input_ids"]).logits


def everything(model):
    return {n: p.detach().clone() for n, p in model.named_parameters()}


def unchanged(model, before):
    return all(torch.equal(p, before[n]) for n, p in model.named_parameters())


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    for name, seed in (("aligned", 0), ("base", 1)):
        tiny_model("qwen2", seed=seed).save_pretrained(root / name)
    return root


@contextmanager
def refused_or_not(model):
    """Note whether the body was refused, and that then nothing was touched."""
    before, found = everything(model), []
    try:
        yield found
    except HoldfastError as error:
        assert unchanged(model, before), "refused after the model was touched"
        found.append(str(error))


def dense(model):
    """What the adapter adds to each projection, as a dense matrix, by probing the live layers."""
    out = {}
    modules = {plain_name(n): m for n, m in model.named_modules() if "base_layer" not in n}
    for ref in projections(model):
        module = modules[ref.name]
        eye = torch.eye(module.in_features)
        with torch.no_grad(), model.disable_adapter():
            base = module(eye)
        with torch.no_grad():
            out[ref.name] = (module(eye) - base).T.double()
    return out


@pytest.mark.parametrize("kind", EVERY)
def test_safe_lora_projects_the_dense_change_or_refuses(kind, folders):
    """Fault B9: SafeLoRA took DoRA, PiSSA and OLoRA for plain LoRA (V .75 for .89)."""
    model = adapted(kind)
    change = dense(model) if kind in LORA_KINDS else None
    with refused_or_not(model) as said:
        repair(SafeLoRA(base=str(folders / "base"), tau=1.0), model, tiny_tokenizer())
    if kind not in LORA_KINDS:
        assert said, "neither exact nor refused"
        return
    assert not said, said
    ours, theirs = (projections(tiny_model("qwen2", seed=s)) for s in (0, 1))
    by_name = {ref.name: (m.weight, theirs[ref].weight) for ref, m in ours.items()}
    for name, now in dense(model).items():
        aligned, base = (w.detach().double() for w in by_name[name])
        v = aligned - base
        wanted = v @ v.T @ change[name] / v.norm() if change[name].any() else change[name]
        assert torch.allclose(now, wanted, atol=1e-5), name


@pytest.mark.parametrize("given", [None, "aligned"])
@pytest.mark.parametrize("kind", ["pissa", "olora"])
def test_safe_lora_refuses_a_moved_base_with_and_without_the_folder(kind, given, folders):
    """Fault B9: V was taken between the residual of PiSSA and the base."""
    aligned = None if given is None else str(folders / given)
    defense = SafeLoRA(base=str(folders / "base"), aligned=aligned)
    with pytest.raises(ModelError, match="initialization changed the base"):
        repair(defense, adapted(kind), tiny_tokenizer())


def test_safe_lora_looks_at_the_base_itself_and_not_at_an_option(folders):
    """Fault B9: a base moved by other means passed as well."""
    model = adapted("pissa")
    model.peft_config["default"].init_lora_weights = True  # As PEFT's own conversion leaves it.
    defense = SafeLoRA(base=str(folders / "base"), aligned=str(folders / "aligned"), tau=1.0)
    with refused_or_not(model) as said:
        repair(defense, model, tiny_tokenizer())
    assert "own base differs from aligned=" in said[0]
    repair(defense, adapted("plain"), tiny_tokenizer())  # The sound one passes.


@pytest.mark.parametrize("kind", EVERY)
def test_resta_starts_from_the_model_without_the_adapter_or_refuses(kind):
    """Fault B9: RESTA said from_aligned: true of a model that was not the aligned one."""
    model = adapted(kind)
    with model.disable_adapter():
        aligned = logits(model)
    with refused_or_not(model) as said:
        made = repair(RESTA(harmful=HARMFUL, epochs=1), model, tiny_tokenizer())
    exact = kind in LORA_KINDS or kind == "lora_bias"
    assert bool(said) != exact, said
    if not exact:
        return
    assert made.report["from_aligned"] is True
    put(dict(model.named_parameters()), origin_of(LocalEngine(model), None).tensors)
    assert torch.allclose(logits(model), aligned, atol=1e-5)


@pytest.mark.parametrize("kind", EVERY)
def test_the_safety_patch_is_exact_or_not_written(kind):
    """Fault B9: with lora_bias the safety patch was off by .65."""
    model, bare = adapted(kind), adapted(kind)
    with refused_or_not(model) as said:
        made = repair(Panacea(harmful=HARMFUL, rho=0.5), model, tiny_tokenizer())
    if said:
        assert kind == "ia3"  # Prompt and IA3 adapters cannot be repaired at all.
        return
    files = [name for name in made.tensors if name.startswith("safety_patch/")]
    assert bool(files) == (kind in {*LORA_KINDS, "pissa", "olora"})
    assert ("no_safety_patch" in made.report) != bool(files)
    if files:
        with LowRank.from_tensors(made.tensors[files[0]]).hooked(bare):
            assert torch.allclose(logits(bare), logits(model), atol=1e-5)


@pytest.mark.parametrize("kind", ["dora", "pissa", "base-biases", "head", "ia3"])
@pytest.mark.parametrize("cls", [SafeLoRA, RESTA])
def test_a_trainer_refuses_before_it_trains(cls, kind, folders, tmp_path):
    """Fault B9: what a repair could not do was found after the whole run, or never."""
    options = {SafeLoRA: {"base": str(folders / "base")}, RESTA: {"harmful": HARMFUL}}[cls]
    with pytest.raises(ModelError, match=cls.card.name):
        trainer_of(tmp_path, [cls(**options)], model=adapted(kind), kind=SecureTrainer)
    off = cls(**{cls.card.strength: 0.0})
    trainer_of(tmp_path, [off], model=adapted(kind), kind=SecureTrainer)


@pytest.mark.parametrize("options", [{"vector": True}, {"dare": 0.3}])
def test_resta_looks_at_its_folders_before_step_0(options, tmp_path):
    """Fault B9: a vector for frozen weights was refused after the run."""
    model, given = tiny_model(), dict(options)
    if "vector" in options:
        adapted("plain", "llama").save_pretrained(tmp_path / "vector")
        model, given["vector"] = adapted("plain", "llama"), str(tmp_path / "vector")
    with pytest.raises(ConfigError, match="resta: "):
        trainer_of(tmp_path, [RESTA(harmful=HARMFUL, **given)], model=model)


@pytest.mark.parametrize("kind", ["pissa", "olora", "dora-frozen-magnitude", "lora_bias"])
def test_a_vector_of_another_kind_is_refused(kind, tmp_path):
    """Fault B9: the factors of PiSSA were read as the change of a vector."""
    adapted(kind).save_pretrained(tmp_path)
    with pytest.raises(ConfigError, match=str(tmp_path)):
        read_adapter(tmp_path)
    adapted("rslora").save_pretrained(tmp_path / "plain")
    assert read_adapter(tmp_path / "plain")


@pytest.mark.parametrize(
    "defense", [Vaccine(rho=0.5), SecurityVectors(harmful=HARMFUL, kl_weight=0)]
)
def test_a_saved_projection_is_refused_where_projections_are_read(defense, tmp_path):
    """Fault B9: a copy of a projection has no role that a method could look up."""
    model = get_peft_model(
        tiny_model(), LoraConfig(target_modules=["v_proj"], modules_to_save=["o_proj"])
    )
    with pytest.raises(ModelError, match="o_proj"):
        trainer_of(tmp_path, [defense], model=model).train()


def two_adapters(active):
    model = adapted("plain")
    model.add_adapter("other", model.peft_config["default"])
    with torch.no_grad():
        for name, p in model.named_parameters():
            if ".other." in name:
                p.copy_(0.05 * p.cos())
    model.set_adapter(active)
    return model


@pytest.mark.parametrize("active", ["default", "other"])
@pytest.mark.parametrize(
    "make",
    [
        lambda _: Panacea(harmful=HARMFUL, rho=0.5),
        lambda _: RandomPerturbation(rho=0.5),
        lambda _: RESTA(harmful=HARMFUL, epochs=1),
        lambda folders: SafeLoRA(base=str(folders / "base"), tau=1.0),
    ],
    ids=["panacea", "random", "resta", "safe_lora"],
)
def test_a_repair_leaves_an_inactive_adapter_as_it_is(make, active, folders):
    """Fault B8: an inactive second adapter was un-frozen and moved."""
    model = two_adapters(active)
    before = everything(model)
    flags = {n: p.requires_grad for n, p in model.named_parameters()}
    seen = []
    model.register_forward_hook(
        lambda *_: seen.extend(
            n for n, p in model.named_parameters() if p.requires_grad and f".{active}." not in n
        )
    )
    repair(make(folders), model, tiny_tokenizer())
    moved = {n for n, p in model.named_parameters() if not torch.equal(p, before[n])}
    assert moved
    assert all(f".{active}." in name for name in moved)
    assert not seen
    assert flags == {n: p.requires_grad for n, p in model.named_parameters()}


@pytest.mark.parametrize("state", ["both", "none", "merged"])
def test_a_repair_needs_an_active_adapter(state, folders):
    """Fault B8: several, switched-off and merged adapters were edited as well."""
    model = two_adapters("default")
    if state == "both":
        model.base_model.set_adapter(["default", "other"])
    elif state == "merged":
        model.merge_adapter()
    else:
        model.base_model.disable_adapter_layers()
    defense = RandomPerturbation(rho=0.5)
    with refused_or_not(model) as said:
        repair(
            SafeLoRA(base=str(folders / "base")) if state == "both" else defense,
            model,
            tiny_tokenizer(),
        )
    assert said


def test_a_trainer_refuses_an_inactive_adapter_that_is_trained(tmp_path):
    """Fault B8: noise was put on an adapter that has no part in the forward pass."""
    model = two_adapters("default")
    trainer_of(tmp_path, [RandomPerturbation()], model=model)
    model.requires_grad_(True)
    with pytest.raises(ModelError, match="'other' is trained and not active"):
        trainer_of(tmp_path, [RandomPerturbation()], model=model)
    late = trainer_of(tmp_path, [RandomPerturbation()], model=two_adapters("default"))
    late.model.requires_grad_(True)
    with pytest.raises(ModelError, match="not active"):
        late.train()
