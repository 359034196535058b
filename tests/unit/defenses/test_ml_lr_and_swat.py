"""Which modules are treated as robust, where they come from, and the two equations."""

import json

import pytest
import torch
from torch import nn

from holdfast import MLLR, SWAT
from holdfast.analysis import pipeline
from holdfast.analysis.modules.robust_modules import ModuleAt, RobustModules
from holdfast.defenses import ml_lr, swat
from holdfast.defenses.frozen import frozen_but, trained_sizes
from holdfast.defenses.module_rates import chosen_modules
from holdfast.errors import ConfigError, DataError, ModelError
from holdfast.ops.modules import ModuleRef, trainable
from tests.tiny import LAYERS, WORDS, tiny_model
from tests.unit.defenses.tiny_runs import example, lora, trained, trainer_of, weights_of

ROLES = ("down", "gate", "k", "o", "q", "up", "v")
EVERY = {(layer, role) for layer in range(4) for role in ROLES}
ROBUST = {(3, "q"), (3, "k"), (2, "q"), (1, "down")}
HARMFUL = [
    example(f"{how} make a {w}", "sum") for how in ("how to", "tell me") for w in WORDS[-14:]
]
BENIGN = [example(f"what is {a} plus {b}", str(a + b)) for a in range(7) for b in range(4)]


def listed(folder, pairs, **changes):
    modules = [ModuleAt(layer=layer, role=role) for layer, role in sorted(pairs)]
    made = RobustModules(layers=LAYERS, roles=list(ROLES), modules=modules)
    return str(made.model_copy(update=changes).save(folder / "robust.json"))


class TestEquations:
    @pytest.mark.parametrize("ratio", [0.0, 1e-4, 1.0])
    def test_ml_lr(self, ratio):
        assert ml_lr.multiplier(True, ratio) == 1.0
        assert ml_lr.multiplier(False, ratio) == ratio

    def test_swat(self):
        steps = [n / 10 for n in range(10)]
        assert [swat.multiplier(False, p, 0.3) for p in steps] == [0.0] * 3 + [1.0] * 7
        assert {swat.multiplier(True, p, 0.3) for p in steps} == {1.0}
        assert {swat.multiplier(False, p, 0.0) for p in steps} == {1.0}
        assert {swat.multiplier(False, p, 1.0) for p in steps} == {0.0}

    def test_the_hook_reads_layer_and_role(self):
        defense = MLLR(ratio=0.5)
        defense.load({"robust_": [[1, "q"]]})
        refs = [ModuleRef(*at) for at in ((1, "q", "a"), (1, "k", "b"), (0, "q", "c"))]
        assert [defense.learning_rate(r, 0.0) for r in refs] == [1.0, 0.5, 0.5]
        assert defense.learning_rate(ModuleRef(-1, "other", "embed"), 0.9) == 0.5

    @pytest.mark.parametrize("kind", [MLLR, SWAT])
    def test_boost_raises_the_robust_and_nothing_else(self, kind):
        plain, boosted = kind(), kind(boost=3.0)
        for defense in (plain, boosted):
            defense.load({"robust_": [[1, "q"]]})
        robust, rest = ModuleRef(1, "q", "a"), ModuleRef(0, "q", "b")
        for progress in (0.0, 0.5, 0.9):
            assert boosted.learning_rate(robust, progress) == 3.0
            assert boosted.learning_rate(rest, progress) == plain.learning_rate(rest, progress)

    def test_a_boost_alone_still_needs_its_modules(self):
        MLLR(ratio=1.0).validate()
        with pytest.raises(ConfigError, match="modules="):
            MLLR(ratio=1.0, boost=2.0).validate()
        with pytest.raises(ConfigError, match="boost"):
            SWAT(boost=0.0).validate()


class TestSubsets:
    def test_robust_and_complement_share_the_trained_modules(self):
        robust = chosen_modules(ROBUST, EVERY, "robust", 0)
        rest = chosen_modules(ROBUST, EVERY, "complement", 0)
        assert robust == sorted(ROBUST)
        assert set(robust) | set(rest) == EVERY
        assert not set(robust) & set(rest)

    def test_random_has_the_size_of_the_robust_and_a_seed(self):
        draws = [chosen_modules(ROBUST, EVERY, "random", seed) for seed in range(8)]
        assert {len(draw) for draw in draws} == {len(ROBUST)}
        assert all(set(draw) <= EVERY for draw in draws)
        assert draws[3] == chosen_modules(ROBUST, EVERY, "random", 3)
        assert len({tuple(draw) for draw in draws}) > 6
        assert len(set().union(*draws)) > 15

    def test_only_what_is_trained_counts(self):
        queries = {at for at in EVERY if at[1] == "q"}
        assert chosen_modules(ROBUST, queries, "robust", 0) == [(2, "q"), (3, "q")]
        assert chosen_modules(ROBUST, queries, "complement", 0) == [(0, "q"), (1, "q")]
        assert len(chosen_modules(ROBUST, queries, "random", 0)) == 2

    def test_trained_projections_of_an_adapter(self):
        adapted = lora(tiny_model(), target_modules=["q_proj", "down_proj"])
        assert set(trained_sizes(adapted)) == {(n, r) for n in (0, 1) for r in ("q", "down")}
        assert len(trained_sizes(tiny_model())) == 14

    def test_run_and_field_seed_the_draw(self, tmp_path):
        file = listed(tmp_path, {(0, "q"), (1, "v"), (1, "up")})
        found = [
            trained(
                tmp_path / str(n), [MLLR(file, subset="random", subset_seed=own)], seed=run,
                max_steps=1,
            ).defenses[0].robust_
            for n, (run, own) in enumerate([(0, 0), (0, 0), (0, 1), (1, 0)])
        ]  # fmt: skip
        assert found[0] == found[1]
        assert found[0] != found[2]
        assert found[2] == found[3]


class TestLists:
    def run(self, folder, file, model=None, **options):
        return trained(folder / "out", [MLLR(file, **options)], model=model, max_steps=1)

    def test_another_models_list_names_the_file_and_the_difference(self, tmp_path):
        with pytest.raises(ModelError, match=r"ml_lr: modules=.*robust\.json.*8 layers.*has 2"):
            self.run(tmp_path, listed(tmp_path, {(0, "q")}, layers=8))

    def test_a_part_of_a_fused_projection_alone_is_no_module(self, tmp_path):
        with pytest.raises(ConfigError, match=r"subset=robust is empty.*roles down, o, qkv, up"):
            self.run(tmp_path, listed(tmp_path, {(0, "q")}), tiny_model("gpt_neox"))

    def test_a_role_that_the_model_lacks_is_named(self, tmp_path):
        with pytest.raises(ModelError, match=r"robust\.json.*gate of layer 1"):
            self.run(tmp_path, listed(tmp_path, {(1, "gate")}), tiny_model("opt"))

    def test_a_list_that_the_adapter_does_not_train_is_refused(self, tmp_path):
        adapted = lora(tiny_model(), target_modules=["q_proj"])
        with pytest.raises(ConfigError, match=r"subset=robust is empty.*1 modules.*roles q;"):
            self.run(tmp_path, listed(tmp_path, {(1, "gate")}), adapted)

    def test_an_empty_complement_is_refused(self, tmp_path):
        every = {(n, role) for n in range(LAYERS) for role in ROLES}
        with pytest.raises(ConfigError, match="subset=complement is empty"):
            self.run(tmp_path, listed(tmp_path, every), subset="complement")

    def test_bad_fields_name_method_and_field(self, tmp_path):
        file = listed(tmp_path, {(0, "q")})
        for options in (
            {"ratio": 1.5}, {"ratio": float("nan")}, {"subset": "best"}, {"moments": "none"},
            {"method": "delta"}, {"tau": 2.0}, {"rho": 0.0}, {"subset_seed": -1},
            {"modules": str(tmp_path / "no.json")}, {"modules": None, "harmful": HARMFUL},
        ):  # fmt: skip
            with pytest.raises(ConfigError, match="ml_lr"):
                MLLR(**{"modules": file, **options}).validate()


class TestAnalysis:
    @staticmethod
    def make(**options):
        return SWAT(harmful=HARMFUL, benign=BENIGN, **{"warmup": 0.75, "tau": 0.9} | options)

    def test_before_finds_the_modules_and_changes_nothing_else(self, tmp_path):
        said, seen = [], []
        trainer = trainer_of(tmp_path / "a", [self.make()])
        trainer.say = said.append
        start, own = weights_of(trainer.model), trainer.training_step

        def step(*args, **kwargs):
            seen.append((weights_of(trainer.model), torch.get_rng_state()))
            return own(*args, **kwargs)

        trainer.training_step = step
        trainer.train()
        assert all(torch.equal(start[name], seen[0][0][name]) for name in start)
        [defense] = trainer.defenses
        assert defense.robust_
        assert any("robust modules" in line for line in said)
        assert any(f"swat: {len(defense.robust_)} of 14" in line for line in said)
        assert all("learning_rate" not in name for name in defense.metrics())

    def test_the_artifact_is_the_file_that_another_run_takes(self, tmp_path):
        first = trained(tmp_path / "a", [self.make()])
        first.artifacts[0].save(tmp_path)
        file = tmp_path / "swat" / "robust_modules.json"
        second = trained(tmp_path / "b", [SWAT(file, warmup=0.75)])
        ours, theirs = weights_of(first.model), weights_of(second.model)
        assert all(torch.equal(ours[n], theirs[n]) for n in ours)

    @pytest.mark.parametrize("moments", ["kept", "fresh"])
    def test_a_resumed_run_analyzes_nothing(self, tmp_path, monkeypatch, moments):
        make = {"save_strategy": "steps", "save_steps": 2}
        whole = trained(tmp_path / "a", [self.make(moments=moments)], **make)

        def never(*_, **__):
            raise AssertionError("analyzed again")

        monkeypatch.setattr(pipeline, "find_robust_modules", never)
        again = trainer_of(tmp_path / "b", [self.make(moments=moments)], **make)
        again.train(resume_from_checkpoint=str(tmp_path / "a" / "checkpoint-2"))
        ours, theirs = weights_of(whole.model), weights_of(again.model)
        assert all(torch.equal(ours[n], theirs[n]) for n in ours)
        assert again.defenses[0].robust_ == whole.defenses[0].robust_

    def test_controls_start_from_the_same_analysis(self, tmp_path):
        found = {
            subset: trained(tmp_path / subset, [self.make(subset=subset)], max_steps=1).defenses[0]
            for subset in ("robust", "random", "complement")
        }
        assert len({json.dumps(each.found_) for each in found.values()}) == 1
        sizes = {subset: len(each.robust_) for subset, each in found.items()}
        assert sizes["robust"] == sizes["random"] == 14 - sizes["complement"]

    def test_the_fields_reach_the_analysis_with_the_runs_seed(self, tmp_path, monkeypatch):
        asked = []

        def ask(_run, harmful, benign, settings):
            asked.append((harmful, benign, settings))
            raise ConfigError("asked")

        monkeypatch.setattr(pipeline, "find_robust_modules", ask)
        with pytest.raises(ConfigError, match="asked"):
            trained(tmp_path / "a", [self.make(method="noise", rho=0.2, tau=0.4)], seed=5)
        settings = pipeline.AnalysisSettings(method="noise", rho=0.2, tau=0.4, seed=5)
        assert asked == [(HARMFUL, BENIGN, settings)]

    def test_too_few_prompts_are_refused(self, tmp_path):
        with pytest.raises(DataError, match="20 or more"):
            trained(tmp_path / "a", [SWAT(harmful=HARMFUL[:5], benign=BENIGN)])


class TestFreezing:
    def test_flags_come_back_after_an_error(self):
        model = lora(tiny_model())
        before = {n: p.requires_grad for n, p in model.named_parameters()}
        learning: set[str] = set()

        def stopped():
            with frozen_but(model, {(0, "q")}):
                learning.update(trainable(model))
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            stopped()
        assert all("layers.0" in n and "q_proj" in n for n in learning)
        assert len(learning) == 2
        assert {n: p.requires_grad for n, p in model.named_parameters()} == before

    def test_a_parameter_that_was_replaced_or_freed_meanwhile_is_seen(self):
        """What was found in the model is asked for again, and not taken on trust."""
        model = tiny_model()

        def held():
            with frozen_but(model, {(0, "q")}):
                return {n for n, p in model.named_parameters() if not p.requires_grad}

        norm, down = model.model.norm, model.model.layers[1].mlp.down_proj
        every = {n for n, _ in model.named_parameters()} - {
            "model.layers.0.self_attn.q_proj.weight"
        }
        assert held() == held() == every
        norm.weight = nn.Parameter(torch.ones_like(norm.weight))
        assert held() == every
        down.weight.requires_grad_(False)
        held()
        assert not down.weight.requires_grad
        down.weight.requires_grad_(True)
        assert held() == every
        assert down.weight.requires_grad

    def test_layers_below_do_no_backward_work(self):
        model = tiny_model()
        with frozen_but(model, {(1, "down")}):
            model(torch.tensor([[1, 2, 3]])).logits.sum().backward()
        got = [n for n, p in model.named_parameters() if p.grad is not None]
        assert got == ["model.layers.1.mlp.down_proj.weight"]
        assert isinstance(model.model.layers[1].mlp.down_proj, nn.Linear)
