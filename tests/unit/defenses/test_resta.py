"""RESTA: what a harmful fine-tune does to the aligned model is subtracted from the tuned one."""

import json

import pytest
import torch
from peft import LoraConfig, get_peft_model

from holdfast import RESTA, SecurityVectors, repair
from holdfast.defenses.resta import drop_and_rescale, realigned
from holdfast.defenses.resta.direction import harmful_direction, origin_of
from holdfast.errors import ConfigError, ModelError, RunError
from holdfast.files.adapters import read_adapter
from holdfast.files.base_mark import BaseMark
from holdfast.ops.engine import LocalEngine
from holdfast.ops.gradients import global_norm
from holdfast.ops.low_rank import LowRank
from holdfast.ops.modules import trainable
from tests.tiny import CONFIGS, tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import (
    BENIGN,
    HARMFUL,
    batch_of,
    encoded,
    farthest,
    lora,
    trained,
    trainer_of,
    weights_of,
)

QUICK = {"harmful": HARMFUL, "epochs": 2, "batch_size": 5}


def repaired(model, **options):
    """Repair in place; return the artifact."""
    return repair(RESTA(**{**QUICK, **options}), model, tiny_tokenizer())


def moved(model, **options):
    """Repair in place; return what was added and the artifact."""
    before = weights_of(model)
    artifact = repaired(model, **options)
    return {n: w - before[n] for n, w in weights_of(model).items()}, artifact


def with_b_zero(arch="llama"):
    """The aligned model inside the adapter of ``lora(tiny_model(arch))``."""
    model = lora(tiny_model(arch))
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.zero_()
    return model


def harmful_loss(model):
    with torch.no_grad():
        return float(LocalEngine(model).loss(batch_of(HARMFUL)))


def tuned(seed=0):
    """A model whose every weight has been moved a little, as tuning does."""
    model = tiny_model()
    with torch.no_grad():
        for n, p in enumerate(model.parameters()):
            p.add_(0.01 * torch.randn(p.shape, generator=torch.Generator().manual_seed(seed + n)))
    return model


@pytest.fixture
def aligned(tmp_path):
    """The folder of the aligned model."""
    tiny_model().save_pretrained(tmp_path / "aligned")
    return str(tmp_path / "aligned")


# The equations


def test_realigned_is_the_arithmetic_of_the_paper():
    rng = torch.Generator().manual_seed(0)
    tuned, origin, harmful = ({"w": torch.randn(4, 3, generator=rng)} for _ in range(3))
    direction = {"w": harmful["w"] - origin["w"]}
    edit = realigned(tuned, origin, direction, gamma=0.7)
    safe = origin["w"] - harmful["w"]  # θ_aligned − θ_unaligned, the paper's own sign.
    assert torch.allclose(tuned["w"] + edit["w"], tuned["w"] + 0.7 * safe, atol=1e-6)


def test_subtracting_all_of_what_made_it_harmful_gives_the_aligned_model():
    origin, direction = {"w": torch.zeros(3, 2)}, {"w": torch.full((3, 2), 0.25)}
    edit = realigned({"w": direction["w"]}, origin, direction, gamma=1.0)
    assert torch.equal(direction["w"] + edit["w"], origin["w"])


def test_dare_drops_its_share_and_keeps_the_mean():
    delta = torch.linspace(1, 2, 100_000).reshape(100, 1000)
    found = drop_and_rescale(delta, 0.3, torch.Generator().manual_seed(0))
    kept = found != 0
    assert float(kept.float().mean()) == pytest.approx(0.7, abs=0.01)
    assert torch.allclose(found[kept], delta[kept] / 0.7)
    assert float(found.mean()) == pytest.approx(float(delta.mean()), rel=0.01)
    assert torch.equal(drop_and_rescale(delta, 0.0, torch.Generator()), delta)


def test_dare_acts_on_the_users_change_and_not_on_the_safety_vector():
    zeros, ones = {"w": torch.zeros(50, 50)}, {"w": torch.ones(50, 50)}
    same = realigned(zeros, zeros, ones, gamma=0.5, rate=0.9, seed=0)
    assert torch.equal(same["w"], -0.5 * ones["w"])  # Nothing tuned, so nothing is dropped.
    edit = realigned({"w": 2 * ones["w"]}, zeros, ones, gamma=0.5, rate=0.5, seed=0)
    result = 2 * ones["w"] + edit["w"]
    assert set(result.unique().tolist()) == {-0.5, 3.5}  # Dropped, or 2 / (1 − .5), less .5.


# The direction


def test_the_direction_of_an_adapter_starts_at_its_base_and_moves_b_alone():
    model = lora(tiny_model())
    origin = origin_of(LocalEngine(model), None)
    assert origin.aligned
    assert set(origin.tensors) == {n for n in trainable(model) if ".lora_B." in n}
    batches = [batch_of(HARMFUL[:5]), batch_of(HARMFUL[5:])]
    found, losses = harmful_direction(LocalEngine(model), origin.tensors, batches, 1e-2, 3, 0)
    # The same fine-tune, from the aligned model, by hand.
    other = with_b_zero()
    factors = {n: p for n, p in trainable(other).items() if ".lora_B." in n}
    optimizer = torch.optim.AdamW(factors.values(), lr=1e-2, weight_decay=0.0)
    rng = torch.Generator().manual_seed(0)
    for _ in range(3):
        for i in torch.randperm(2, generator=rng).tolist():
            optimizer.zero_grad()
            LocalEngine(other).loss(batches[i]).backward()
            optimizer.step()
    assert farthest(found, {n: p.detach() for n, p in factors.items()}) < 1e-6
    assert losses[-1] < losses[0]


@pytest.mark.parametrize("arch", CONFIGS)
def test_gamma_times_the_direction_is_subtracted(arch):
    added, artifact = moved(lora(tiny_model(arch)), gamma=0.3)
    direction = artifact.tensors["harmful_direction"]
    assert set(direction) == {n for n in added if ".lora_B." in n}
    wanted = {n: -0.3 * d for n, d in direction.items()}
    assert farthest({n: added[n] for n in direction}, wanted) < 1e-6
    assert all(not added[n].any() for n in added if ".lora_A." in n)
    assert artifact.report["norm"] == pytest.approx(0.3 * global_norm(direction))
    before, after = artifact.report["harmful_loss"]
    assert after > before


def test_what_the_adapter_learned_does_not_move_the_direction():
    """The vector is the aligned model's: the same from a harmful and from a clean adapter."""
    one, two = lora(tiny_model()), with_b_zero()
    found = [repaired(m).tensors["harmful_direction"] for m in (one, two)]
    assert farthest(*found) == 0


def test_full_weights_start_at_the_aligned_folder(aligned):
    _, given = moved(tuned(), aligned=aligned, lr=1e-3)
    _, own = moved(tiny_model(), lr=1e-3)
    assert given.report["from_aligned"] is True
    assert own.report["from_aligned"] is False
    directions = [a.tensors["harmful_direction"] for a in (given, own)]
    assert farthest(*directions) < 1e-6
    _, at_tuned = moved(tuned(), lr=1e-3)
    assert farthest(at_tuned.tensors["harmful_direction"], directions[0]) > 1e-5


def test_it_takes_back_what_harmful_tuning_did(tmp_path):
    """Tuned on the same pairs, a strength of 1 leads about all the way back."""
    model = with_b_zero()
    start = harmful_loss(model)
    trained(tmp_path, model=model, rows=encoded(HARMFUL), max_steps=20)
    learned = harmful_loss(model)
    repaired(model, gamma=1.0, epochs=10, lr=1e-2)
    assert learned < 0.9 * start
    assert harmful_loss(model) > learned + 0.5 * (start - learned)


def test_dare_needs_the_aligned_model_and_changes_the_tuned_part(aligned):
    with pytest.raises(ConfigError, match="needs aligned="):
        repaired(tuned(), dare=0.5)
    added, artifact = moved(tuned(), aligned=aligned, dare=0.5, gamma=0.5, lr=1e-3)
    theirs, ours = weights_of(tuned()), weights_of(tiny_model())
    direction = artifact.tensors["harmful_direction"]
    name = "model.layers.0.mlp.up_proj.weight"
    left = (theirs[name] + added[name] + 0.5 * direction[name] - ours[name]) / (
        theirs[name] - ours[name]
    )
    near = left[(theirs[name] - ours[name]).abs() > 1e-3]
    assert bool(torch.isclose(near, torch.tensor(0.0), atol=1e-2).any())
    assert bool(((near.abs() < 1e-2) | ((near - 2).abs() < 1e-2)).all())


# A vector trained before


def test_a_security_vector_serves_full_weights(tmp_path):
    made = SecurityVectors(
        harmful=HARMFUL, benign=BENIGN, epochs=3, lr=1e-2, max_harmful_nll=1e9, max_benign_kl=1e9
    )
    [artifact] = trained(tmp_path / "run", [made]).artifacts
    folder = artifact.save(tmp_path)
    vector, model = LowRank.from_tensors(read_adapter(folder)), tiny_model()
    added, found = moved(model, vector=str(folder), harmful=None, gamma=0.5)
    for name, linear in vector.linears(model).items():
        wanted = -0.5 * vector.change(name, linear)
        assert torch.allclose(added[f"{name}.weight"], wanted, atol=1e-6)
    assert not added["model.embed_tokens.weight"].any()
    assert not found.tensors  # It lies where it was read from.
    assert harmful_loss(model) > harmful_loss(tiny_model())


def test_a_vector_does_not_fit_into_an_adapter(tmp_path):
    get_peft_model(tiny_model(), LoraConfig(r=2, target_modules=["q_proj"])).save_pretrained(
        tmp_path
    )
    model = lora(tiny_model())
    before = weights_of(model)
    with pytest.raises(ConfigError, match="merge the user's adapter"):
        repaired(model, vector=str(tmp_path))
    assert farthest(before, weights_of(model)) == 0


# What is left behind


def test_the_model_is_put_back_after_an_error(monkeypatch):
    model = lora(tiny_model())
    before, calls = weights_of(model), [0]
    forward = LocalEngine.forward

    def breaking(self, batch):
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        return forward(self, batch)

    monkeypatch.setattr(LocalEngine, "forward", breaking)
    with pytest.raises(KeyboardInterrupt):
        repaired(model)
    assert farthest(before, weights_of(model)) == 0
    assert all(p.grad is None for p in model.parameters())


def test_gradients_of_the_user_stay():
    model = lora(tiny_model())
    engine = LocalEngine(model)
    engine.loss(batch_of(BENIGN)).backward()
    kept = {n: p.grad.clone() for n, p in trainable(model).items()}
    origin = origin_of(engine, None)
    harmful_direction(engine, origin.tensors, [batch_of(HARMFUL)], 1e-2, 2, 0)
    assert all(torch.equal(p.grad, kept[n]) for n, p in trainable(model).items())


def test_the_direction_is_private_and_no_checkpoint_knows_it(tmp_path):
    options = {"save_strategy": "steps", "save_steps": 2}
    defense = RESTA(**QUICK)
    trainer = trainer_of(tmp_path / "run", [defense], model=lora(tiny_model()), **options)
    trainer.train()
    [artifact] = trainer.artifacts
    assert artifact.private
    assert defense.state() == {}
    apart = tmp_path / "run-artifacts" / "checkpoints"
    files = [f.read_bytes() for f in apart.rglob("*") if f.is_file()]
    assert len(files) > 4
    for direction in artifact.tensors["harmful_direction"].values():
        assert not [f for f in files if direction.numpy().tobytes() in f]
    folder = artifact.save(tmp_path / "apart")
    assert json.loads((folder / "realignment.json").read_text())["gamma"] == 0.5
    assert (folder / "harmful_direction.safetensors").is_file()


def test_in_a_trainer_it_is_the_same_repair_after_plain_training(tmp_path):
    plain = trained(tmp_path, model=lora(tiny_model())).model
    repair(RESTA(**QUICK), plain, tiny_tokenizer(), seed=1)
    defended = trained(tmp_path, [RESTA(**QUICK)], model=lora(tiny_model())).model
    assert farthest(weights_of(plain), weights_of(defended)) < 1e-6


class TestBadInput:
    def test_gamma_zero_is_off_with_dare_too(self):
        model = lora(tiny_model())
        before = weights_of(model)
        artifact = repair(RESTA(gamma=0.0, dare=0.5), model, tiny_tokenizer())
        assert farthest(before, weights_of(model)) == 0
        assert not artifact.tensors

    @pytest.mark.parametrize(
        ("field", "value"),
        [("gamma", -0.1), ("dare", 1.0), ("lr", -1.0), ("epochs", 0), ("batch_size", 0)],
    )
    def test_ranges(self, field, value):
        with pytest.raises(ConfigError, match=f"resta: {field}"):
            RESTA(**{**QUICK, field: value}).validate()

    def test_no_rows(self):
        with pytest.raises(ConfigError, match="resta needs `harmful="):
            RESTA().validate()

    def test_folders_are_looked_at_before_training(self, tmp_path):
        with pytest.raises(ConfigError, match=r"aligned=.*no such folder"):
            RESTA(harmful=HARMFUL, aligned=str(tmp_path / "nowhere")).validate()
        with pytest.raises(ConfigError, match=r"LoRA adapter in .* has no adapter_config\.json"):
            RESTA(vector=str(tmp_path)).validate()

    def test_an_aligned_model_of_another_architecture(self, tmp_path):
        tiny_model("gpt_neox").save_pretrained(tmp_path)
        with pytest.raises(ModelError, match="same architecture"):
            repaired(tiny_model(), aligned=str(tmp_path))

    def test_dora_is_refused(self):
        with pytest.raises(ModelError, match="DoRA"):
            repaired(lora(tiny_model(), use_dora=True))

    @pytest.mark.parametrize("lr", [0.0, 1e3])
    def test_no_usable_direction_is_an_error_and_nothing_is_touched(self, lr):
        model = lora(tiny_model())
        if lr:
            model.base_model.model.lm_head.weight.data.fill_(float("nan"))
        before = weights_of(model)
        with pytest.raises(RunError, match="weights were left as they are"):
            repaired(model, lr=lr)
        assert farthest(before, weights_of(model)) == 0

    def test_a_vector_of_another_model(self, tmp_path):
        wide = tiny_model()
        wide.model.layers[0].self_attn.q_proj = torch.nn.Linear(32, 64, bias=False)
        adapter = get_peft_model(
            wide, LoraConfig(r=2, target_modules=["layers.0.self_attn.q_proj"])
        )
        adapter.save_pretrained(tmp_path)
        with pytest.raises(ModelError, match="another model"):
            repaired(tiny_model(), vector=str(tmp_path))


def test_an_aligned_folder_of_an_unrelated_model_is_told(aligned, tmp_path):
    tiny_model(seed=5).save_pretrained(tmp_path / "other")
    for folder, told in ((aligned, 0), (str(tmp_path / "other"), 1)):
        said = []
        repair(
            RESTA(harmful=HARMFUL, aligned=folder, epochs=1), tuned(), tiny_tokenizer(),
            say=said.append,
        )  # fmt: skip
        assert sum("next to nothing" in line for line in said) == told


@pytest.mark.parametrize(
    ("marked", "moved", "told"),
    [
        ("model-0", False, ""),
        ("model-0", True, "was trained on model-0, and nothing shows that this model was tuned"),
        ("", True, "does not tell its base, and nothing shows"),
        (None, False, "does not tell its base, and nothing shows"),
    ],
)
def test_a_vector_without_the_aligned_folder_is_told_as_unchecked(tmp_path, marked, moved, told):
    """Embeddings that tuning left alone show the base; else the note says that nothing does."""
    lora(tiny_model()).save_pretrained(tmp_path)
    if marked is not None:
        BaseMark.of(tiny_model(), marked).save(tmp_path)
    model, said = tuned(), []
    with torch.no_grad():
        model.get_input_embeddings().weight.copy_(tiny_model().get_input_embeddings().weight)
        model.get_input_embeddings().weight.add_(float(moved))
    repair(RESTA(vector=str(tmp_path), gamma=0.1), model, tiny_tokenizer(), say=said.append)
    found = [line for line in said if "nothing shows" in line]
    assert bool(found) == bool(told)
    assert all(f"vector={tmp_path} {told}" in line for line in found)


def test_a_vector_of_another_base_of_the_same_shapes_is_told_by_its_mark(aligned, tmp_path):
    folders = [tmp_path / "own", tmp_path / "other"]
    for folder, seed in zip(folders, (0, 5), strict=True):
        lora(tiny_model()).save_pretrained(folder)
        BaseMark.of(tiny_model(seed=seed), f"model-{seed}").save(folder)
    own, other = map(str, folders)
    model, adapted = tuned(), lora(tiny_model())
    for one, method in (
        (model, lambda vector: RESTA(vector=vector, aligned=aligned)),
        (adapted, lambda vector: SecurityVectors(harmful=HARMFUL, benign=BENIGN, vector=vector)),
    ):
        method(own).check_model(one)
        with pytest.raises(ModelError, match=r"vector=.* another base than this model .*model-5"):
            method(other).check_model(one)
    # What tuning moved is no mark of a base.
    RESTA(vector=other).check_model(model)
    SecurityVectors(harmful=HARMFUL, benign=BENIGN, vector=other).check_model(model)
