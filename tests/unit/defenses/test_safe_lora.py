"""SafeLoRA: the projection of the equation, on what the threshold names and nothing else."""

import json

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model

from holdfast import SafeLoRA, repair
from holdfast.defenses.safe_lora import cosine, into_alignment
from holdfast.errors import ConfigError, ModelError
from holdfast.ops.modules import projections
from tests.tiny import CONFIGS, tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import farthest, lora, trained, weights_of

UNRELATED = "next to nothing"


def saved(folder, model):
    model.save_pretrained(folder)
    return str(folder)


def adapted(arch="llama"):
    """A model with an adapter whose B, and so whose change, has full rank."""
    model = lora(tiny_model(arch))
    rng = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.copy_(0.01 * torch.randn(p.shape, generator=rng))
    return model


def everything(model):
    return {n: p.detach().clone() for n, p in model.named_parameters()}


@pytest.fixture
def base(tmp_path):
    """The folder of an unaligned model."""
    return saved(tmp_path / "base", tiny_model(seed=1))


def by_hand(aligned, unaligned, change):
    """CΔW with C written out, in float64."""
    v = (aligned - unaligned).double()
    c = v @ v.T / (v**2).sum().sqrt()
    return c @ change.double()


def live(model):
    return {ref.name: m for ref, m in projections(model).items()}


def rows_of(artifact):
    return {row["module"]: row for row in artifact.documents["projection"]["modules"]}


def test_into_alignment_is_the_matrix_of_the_paper():
    rng = torch.Generator().manual_seed(0)
    aligned, unaligned, change = (torch.randn(6, 4, generator=rng) for _ in range(3))
    found = into_alignment(aligned - unaligned, change)
    assert torch.allclose(found.double(), by_hand(aligned, unaligned, change), atol=1e-5)


def test_the_alignments_own_directions_stay_and_others_vanish():
    v = torch.zeros(4, 3)
    v[0, 0] = 2.0  # C = diag(2, 0, 0, 0): the alignment moved the first output alone.
    inside, outside = torch.zeros(4, 3), torch.zeros(4, 3)
    inside[0, 1], outside[2, 1] = 1.0, 1.0
    assert torch.equal(into_alignment(v, inside), 2 * inside)
    assert not into_alignment(v, outside).any()
    assert cosine(into_alignment(v, inside), inside) == pytest.approx(1.0)
    assert cosine(into_alignment(v, outside), outside) == 0.0


def test_cosine_is_that_of_frobenius_and_zero_of_zeros():
    a, b = torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.tensor([[1.0, 1.0], [1.0, 0.0]])
    assert cosine(a, b) == pytest.approx(3 / (5 * 3**0.5))
    assert cosine(a, -2 * a) == pytest.approx(-1.0)
    assert cosine(a, torch.zeros(2, 2)) == 0.0


@pytest.mark.parametrize("arch", CONFIGS)
def test_every_factor_b_becomes_cb(arch, tmp_path):
    unaligned = tiny_model(arch, seed=1)
    folder = saved(tmp_path / "base", unaligned)
    model = adapted(arch)
    before = weights_of(model)
    theirs, ours = live(unaligned), live(model)
    artifact = repair(SafeLoRA(base=folder, tau=1.0), model, tiny_tokenizer())
    after = weights_of(model)
    assert artifact.report["projected"] == len(ours)
    for name, old in before.items():
        if ".lora_A." in name:
            assert torch.equal(after[name], old)
            continue
        module = name.removeprefix("base_model.model.").removesuffix(".lora_B.default.weight")
        wanted = by_hand(ours[module].weight.detach(), theirs[module].weight.detach(), old)
        assert torch.allclose(after[name].double(), wanted, atol=1e-6)


def test_only_changes_at_or_below_the_threshold_are_projected(base):
    whole = repair(SafeLoRA(base=base, tau=1.0), adapted(), tiny_tokenizer())
    figures = sorted(row["cosine"] for row in rows_of(whole).values())
    assert 0 <= figures[0] < figures[-1] <= 1
    tau = figures[len(figures) // 2]  # Exactly at one of them: the paper's inequality holds there.
    model = adapted()
    before = weights_of(model)
    artifact = repair(SafeLoRA(base=base, tau=tau), model, tiny_tokenizer())
    rows = rows_of(artifact)
    assert {r["projected"] for r in rows.values()} == {True, False}
    for name, now in weights_of(model).items():
        module = name.removeprefix("base_model.model.").partition(".lora_")[0]
        moved = not torch.equal(now, before[name])
        assert moved == (".lora_B." in name and rows[module]["cosine"] <= tau)
    assert artifact.report["projected"] == sum(f <= tau for f in figures)


def test_the_cosine_is_that_of_the_whole_change_and_not_of_b(base):
    model = adapted()
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    b, a = (f["default"].weight.detach().clone() for f in (layer.lora_B, layer.lora_A))
    other = tiny_model(seed=1).model.layers[0].self_attn.q_proj.weight.detach()
    inside = by_hand(layer.base_layer.weight.detach(), other, b @ a)
    wanted = cosine(inside, (b @ a).double())
    wrong = cosine(by_hand(layer.base_layer.weight.detach(), other, b), b.double())
    rows = rows_of(repair(SafeLoRA(base=base, tau=1.0), model, tiny_tokenizer()))
    found = rows["model.layers.0.self_attn.q_proj"]
    assert found["cosine"] == pytest.approx(wanted, abs=1e-6)
    assert abs(wanted - wrong) > 1e-4
    assert found["kept"] == pytest.approx(float(inside.norm() / (b @ a).norm()), rel=1e-4)


def test_weights_trained_in_place_are_judged_against_the_aligned_folder(base, tmp_path):
    aligned = saved(tmp_path / "aligned", tiny_model())
    model, untouched, other = tiny_model(), tiny_model(), tiny_model(seed=1)
    with torch.no_grad():
        for n, p in enumerate(model.parameters()):
            p.add_(0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(n)))
    tuned = weights_of(model)
    repair(SafeLoRA(base=base, aligned=aligned, tau=1.0), model, tiny_tokenizer())
    now, mine, theirs = weights_of(model), weights_of(untouched), weights_of(other)
    names = {f"{name}.weight" for name in live(model)}
    for name, weight in now.items():
        wanted = tuned[name].double()
        if name in names:
            change = tuned[name] - mine[name]
            wanted = mine[name].double() + by_hand(mine[name], theirs[name], change)
        assert torch.allclose(weight.double(), wanted, atol=1e-6), name


def test_a_merged_adapter_is_repaired_as_the_adapter_is(base, tmp_path):
    """Both roads give the same model."""
    aligned = saved(tmp_path / "aligned", tiny_model())
    adapter = adapted()
    adapter.save_pretrained(tmp_path / "adapter")
    artifact = repair(SafeLoRA(base=base, tau=0.7), adapter, tiny_tokenizer())
    merged = PeftModel.from_pretrained(tiny_model(), tmp_path / "adapter").merge_and_unload()
    repair(SafeLoRA(base=base, aligned=aligned, tau=0.7), merged, tiny_tokenizer())
    assert farthest(everything(adapter.merge_and_unload()), everything(merged)) < 1e-5
    assert 0 < artifact.report["projected"] < 14


def test_without_a_change_nothing_is_touched(base):
    model = adapted()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.zero_()
    before = weights_of(model)
    artifact = repair(SafeLoRA(base=base, tau=1.0), model, tiny_tokenizer())
    assert artifact.report["projected"] == 0
    assert farthest(before, weights_of(model)) == 0


def told_of(model, **options):
    lines = []
    repair(SafeLoRA(tau=1.0, **options), model, tiny_tokenizer(), say=lines.append)
    return [line for line in lines if "changes projected" not in line and UNRELATED not in line]


def test_what_was_not_tuned_at_all_is_told(base, tmp_path):
    aligned = saved(tmp_path / "aligned", tiny_model())
    nothing = "safe_lora: nothing was tuned: these are the aligned weights already"
    untrained = get_peft_model(tiny_model(), LoraConfig(r=2, task_type="CAUSAL_LM"))
    assert told_of(untrained, base=base) == [nothing]
    assert told_of(tiny_model(), base=base, aligned=aligned)[0] == nothing
    assert told_of(adapted(), base=base) == []


@pytest.mark.parametrize("arch", ["llama", "qwen2"])
def test_what_it_leaves_tuned_is_told(arch, tmp_path):
    """Embeddings, norms and biases; beside an adapter on the head, that."""
    base, aligned = (saved(tmp_path / f"{n}", tiny_model(arch, seed=n)) for n in (1, 0))
    model = tiny_model(arch)
    others = len(weights_of(model)) - len(projections(model))
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight.add_(0.01)
    stay = "safe_lora: {} trained tensors of other modules stay as they were tuned"
    assert told_of(model, base=base, aligned=aligned) == [stay.format(others)]
    heads = LoraConfig(r=2, target_modules=["q_proj", "lm_head"], init_lora_weights=False)
    with_head = get_peft_model(tiny_model(arch), heads)
    assert told_of(with_head, base=base) == [stay.format(2)]


def test_where_nothing_was_aligned_the_change_stays(tmp_path):
    unaligned = tiny_model()
    with torch.no_grad():
        unaligned.model.layers[1].mlp.up_proj.weight.add_(0.1)
    folder = saved(tmp_path / "base", unaligned)
    artifact = repair(SafeLoRA(base=folder, tau=1.0), adapted(), tiny_tokenizer())
    assert [m for m, r in rows_of(artifact).items() if r["projected"]] == [
        "model.layers.1.mlp.up_proj"
    ]
    assert all(r["cosine"] is None for r in rows_of(artifact).values() if not r["projected"])


def test_in_a_trainer_it_is_the_same_repair_after_plain_training(base, tmp_path):
    plain = trained(tmp_path, model=adapted()).model
    repair(SafeLoRA(base=base, tau=1.0), plain, tiny_tokenizer())
    defended = trained(tmp_path, [SafeLoRA(base=base, tau=1.0)], model=adapted()).model
    assert farthest(weights_of(plain), weights_of(defended)) == 0


def test_shards_and_bf16_are_read(tmp_path):
    one, many = tiny_model(seed=1), tmp_path / "many"
    one.save_pretrained(many, max_shard_size="20KB")
    assert len(list(many.glob("*.safetensors"))) > 1
    left, right = adapted(), adapted()
    repair(SafeLoRA(base=saved(tmp_path / "one", one), tau=1.0), left, tiny_tokenizer())
    repair(SafeLoRA(base=str(many), tau=1.0), right, tiny_tokenizer())
    assert farthest(weights_of(left), weights_of(right)) == 0
    half = adapted()
    repair(SafeLoRA(base=saved(tmp_path / "half", one.bfloat16()), tau=1.0), half, tiny_tokenizer())
    assert 0 < farthest(weights_of(left), weights_of(half)) < 1e-3


def test_what_is_kept_apart_is_json_and_no_tensor(base, tmp_path):
    artifact = repair(SafeLoRA(base=base), adapted(), tiny_tokenizer())
    folder = artifact.save(tmp_path)
    assert [f.name for f in folder.iterdir()] == ["projection.json"]
    document = json.loads((folder / "projection.json").read_text())
    assert document["tau"] == 0.5
    assert len(document["modules"]) == artifact.report["changes"] == 14


class TestBadInput:
    def test_tau_zero_needs_no_base(self):
        model = adapted()
        before = weights_of(model)
        assert repair(SafeLoRA(tau=0.0), model, tiny_tokenizer()).report["projected"] == 0
        assert farthest(before, weights_of(model)) == 0

    @pytest.mark.parametrize("tau", [-0.1, 1.1, float("nan")])
    def test_tau_out_of_range(self, tau, base):
        with pytest.raises(ConfigError, match="safe_lora: tau"):
            SafeLoRA(tau=tau, base=base).validate()

    def test_no_base(self):
        with pytest.raises(ConfigError, match="needs base="):
            SafeLoRA().validate()

    @pytest.mark.parametrize("field", ["base", "aligned"])
    def test_a_folder_that_is_none_shows_before_training(self, field, base, tmp_path):
        given = {"base": base, field: str(tmp_path / "nowhere")}
        with pytest.raises(ConfigError, match=rf"safe_lora: {field}=.*no such folder"):
            SafeLoRA(**given).validate()

    def test_an_adapter_is_no_base(self, tmp_path):
        folder = saved(tmp_path / "adapter", adapted())
        with pytest.raises(ConfigError, match="merge an adapter"):
            SafeLoRA(base=folder).validate()

    def test_a_broken_file(self, tmp_path):
        (tmp_path / "model.safetensors").write_bytes(b"no such thing")
        with pytest.raises(ConfigError, match="cannot be read"):
            SafeLoRA(base=str(tmp_path)).validate()

    def test_a_base_of_another_architecture_or_size(self, tmp_path):
        other = saved(tmp_path / "other", tiny_model("gpt_neox"))
        with pytest.raises(ModelError, match="same architecture"):
            repair(SafeLoRA(base=other), adapted(), tiny_tokenizer())
        wide = tiny_model(seed=1)
        wide.model.layers[0].self_attn.q_proj.weight.data = torch.zeros(64, 32)
        wide.save_pretrained(tmp_path / "wide")
        with pytest.raises(ModelError, match=r"shape \(64, 32\).*\(32, 32\)"):
            repair(SafeLoRA(base=str(tmp_path / "wide")), adapted(), tiny_tokenizer())

    def test_the_aligned_model_given_as_its_own_base(self, tmp_path):
        model, folder = adapted(), saved(tmp_path / "same", tiny_model())
        before = weights_of(model)
        with pytest.raises(ConfigError, match="the aligned weights themselves"):
            repair(SafeLoRA(base=folder), model, tiny_tokenizer())
        assert farthest(before, weights_of(model)) == 0

    def test_weights_trained_in_place_need_the_aligned_folder(self, base):
        model = tiny_model()
        before = weights_of(model)
        with pytest.raises(ConfigError, match="give aligned="):
            repair(SafeLoRA(base=base), model, tiny_tokenizer())
        assert farthest(before, weights_of(model)) == 0

    def test_an_adapter_on_no_projection(self, base):
        model = lora(tiny_model(), target_modules=["lm_head"])
        with pytest.raises(ModelError, match="neither a LoRA factor B nor a weight"):
            repair(SafeLoRA(base=base), model, tiny_tokenizer())


def test_folders_of_unrelated_models_are_told(tmp_path):
    """They were projected onto a change that is none, and nothing was said."""
    aligned, near, far = tiny_model(), tiny_model(), tiny_model(seed=5)
    with torch.no_grad():
        for p in near.parameters():
            p.add_(0.01 * p.std() * torch.randn_like(p))
    own, kin, strange = (
        saved(tmp_path / name, one) for name, one in zip("abc", (aligned, near, far), strict=True)
    )
    for base, before, wanted in ((kin, own, ""), (strange, own, "base="), (kin, strange, "both")):
        said = []
        model = tiny_model()
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.02 * p.std() * torch.randn_like(p))
        repair(SafeLoRA(base=base, aligned=before), model, say=said.append)
        told = [line for line in said if UNRELATED in line]
        assert len(told) == {"": 0, "base=": 1, "both": 2}[wanted], said
        assert all(strange in line for line in told[:1])
