"""The whole analysis: warnings reach every file and line, resumed is the same, refusals by name."""

import math
from dataclasses import replace

import pytest
import torch

from holdfast.analysis import pipeline as module
from holdfast.analysis.modules.robust_modules import RobustModules
from holdfast.analysis.modules.robustness import Robustness
from holdfast.analysis.pipeline import AnalysisSettings, analyze, find_robust_modules
from holdfast.analysis.probing.prompts import Prompts
from holdfast.errors import ConfigError, InputError
from holdfast.files.hashes import sha256_of
from holdfast.ops.modules import parts, projections
from holdfast.ops.randomness import derived_seed
from tests.tiny import tiny_model
from tests.unit.analysis.probing.test_prompts import Reader
from tests.unit.analysis.tiny_analysis import BENIGN, HARMFUL, SPLIT, adapted, prompts
from tests.unit.defenses.tiny_runs import trainer_of

NOISE = AnalysisSettings(method="noise", rho=0.3, seeds=2)
QUICK = AnalysisSettings(rho=0.3, seeds=1)


def blind():
    """Prompts of one kind split at random between the classes."""
    every = [*prompts().harmful, *prompts().benign]
    order = sorted(range(len(every)), key=lambda i: derived_seed("blind", i))
    half = len(every) // 2
    return Prompts([every[i] for i in order[:half]], [every[i] for i in order[half:]], [], [])


@pytest.mark.parametrize("arch", SPLIT)
@pytest.mark.parametrize("adapter", [False, True])
def test_every_architecture_with_split_projections(arch, adapter):
    model = adapted(tiny_model(arch)) if adapter else tiny_model(arch)
    found = analyze(model, prompts(), QUICK)
    table = found.robustness.table()
    assert table.keys() == {(r.layer, r.role) for r in projections(model)}
    assert all(math.isfinite(value) and value > 0 for value in table.values())
    assert ("gate" in found.robust.roles) == (arch != "opt")
    assert found.robust.pairs <= table.keys()
    found.robust.check(model)


@pytest.mark.parametrize("method", ["gradient", "noise"])
def test_a_fused_projection_is_scored_by_part(method):
    model = tiny_model("gpt_neox")
    found = analyze(model, prompts(), replace(NOISE, method=method))
    assert found.robustness.table().keys() == {(r.layer, r.role) for r in parts(model)}
    names = {m.name for m in found.robustness.modules}
    assert "gpt_neox.layers.0.attention.query_key_value[k]" in names


@pytest.mark.parametrize("method", ["gradient", "noise"])
def test_the_same_seed_is_the_same_result(method):
    one, two = (analyze(tiny_model(), prompts(), replace(NOISE, method=method)) for _ in range(2))
    assert one.robust == two.robust
    assert one.robustness.modules == two.robustness.modules
    other = analyze(tiny_model(), prompts(), replace(NOISE, method=method, seed=5))
    assert other.robust.seeds != one.robust.seeds
    assert other.robust.whole != one.robust.whole


def test_the_files_come_back():
    found = analyze(tiny_model(), prompts(), NOISE, identity={"model": "m", "probe_sha256": "ab"})
    for record, kind in ((found.robust, RobustModules), (found.robustness, Robustness)):
        assert kind.model_validate_json(record.model_dump_json()) == record
        assert (record.model, record.probe_sha256, record.rho) == ("m", "ab", 0.3)
    assert len(found.robust.seeds) == 2


def test_the_gradients_map_is_of_the_logit_whatever_the_search_goes_by():
    found = analyze(tiny_model(), prompts(), replace(QUICK, score="drift"))
    assert (found.robustness.score, found.robust.score) == ("logit", "drift")
    other = analyze(tiny_model(), prompts(), replace(QUICK, score="logit"))
    assert other.robustness.modules == found.robustness.modules
    assert other.robust.whole != found.robust.whole


def test_tau_bounds_the_joint_damage():
    by = {tau: analyze(tiny_model(), prompts(), replace(QUICK, tau=tau)).robust for tau in (0, 1)}
    assert by[0].modules == []
    assert max(t.score for t in by[1].trace if t.kept) <= by[1].whole
    assert len(by[1].modules) > 7


def test_a_blind_probe_is_warned_of_everywhere():
    found = analyze(tiny_model(), blind(), QUICK)
    assert any("blind" in w for w in found.robustness.warnings)
    assert found.robust.warnings == found.robustness.warnings
    assert analyze(tiny_model(), prompts(), QUICK).robust.warnings == []


def test_a_search_with_nothing_to_go_by_is_warned_of():
    settings = replace(NOISE, score="accuracy", rho=1e-6)
    found = analyze(tiny_model(), prompts(), settings).robust
    assert found.whole <= 0
    assert ["no damage by score=accuracy" in w for w in found.warnings] == [True]


class TestDelta:
    def changes(self, model, scale=0.2):
        return {
            r.name: scale * (n % 5) * m.weight.detach().cos()
            for n, (r, m) in enumerate(projections(model).items())
        }

    @pytest.mark.parametrize("adapter", [False, True])
    def test_one_module_at_a_time(self, adapter):
        model = adapted(tiny_model()) if adapter else tiny_model()
        changes = self.changes(model)
        found = analyze(model, prompts(), AnalysisSettings(method="delta"), changes=changes)
        assert (found.robustness.rho, len(found.robustness.seeds)) == (0.0, 1)
        for score in found.robustness.modules:
            assert (score.mean("logit") == 0) == (float(changes[score.name].abs().max()) == 0)

    def test_a_missing_change_is_refused_by_name(self):
        changes = self.changes(tiny_model())
        del changes["model.layers.1.mlp.up_proj"]
        for given in (changes, None):
            with pytest.raises(ConfigError, match=r"layers\.\d.*`against=DIR`"):
                analyze(tiny_model(), prompts(), AnalysisSettings(method="delta"), changes=given)


class TestResume:
    def killed(self, path, model=None, stop=9):
        def progress(stage, done, _all):
            if (stage, done) == ("modules", stop):
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            analyze(model or tiny_model(), prompts(), NOISE, partial=path, progress=progress)

    def test_a_killed_analysis_ends_with_the_same_files(self, tmp_path):
        path = tmp_path / "partial.jsonl"
        self.killed(path)
        whole = analyze(tiny_model(), prompts(), NOISE)
        resumed = analyze(tiny_model(), prompts(), NOISE, partial=path)
        assert resumed.robust == whole.robust
        assert resumed.robustness.modules == whole.robustness.modules

    @pytest.mark.parametrize("what", ["rho", "model", "prompts", "adapter", "seed"])
    def test_of_another_analysis_is_refused(self, tmp_path, what):
        path, model, given, settings = tmp_path / "p", tiny_model(), prompts(), NOISE
        self.killed(path, adapted(tiny_model()) if what == "adapter" else None)
        settings = replace(NOISE, rho=0.2) if what == "rho" else settings
        settings = replace(NOISE, seed=2) if what == "seed" else settings
        given = replace(given, benign=given.benign[:-1]) if what == "prompts" else given
        if what == "model":
            model.model.layers[0].mlp.up_proj.weight.data.add_(1e-4)
        if what == "adapter":
            model = adapted(model)
            next(p for n, p in model.named_parameters() if "lora_B" in n).data.mul_(1.01)
        with pytest.raises(InputError, match="another analysis"):
            analyze(model, given, settings, partial=path)

    def test_the_score_may_be_another(self, tmp_path):
        self.killed(tmp_path / "p")
        drift = replace(NOISE, score="drift")
        assert analyze(tiny_model(), prompts(), drift, partial=tmp_path / "p").robust.trace


@pytest.mark.parametrize("method", ["gradient", "noise"])
def test_progress_goes_up_stage_by_stage(method):
    told = []
    settings = replace(NOISE, method=method)
    analyze(tiny_model(), prompts(), settings, progress=lambda *at: told.append(at))
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == ["probe", "modules", "search"]
    for stage in ("probe", "modules", "search"):
        steps = [(done, most) for s, done, most in told if s == stage]
        assert steps[0][0] == 0
        assert steps[-1][0] == steps[-1][1]
        assert steps == sorted(steps)
        assert len({most for _, most in steps}) == 1


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"method": "guess"}, "method='guess' must be one of gradient, noise, delta"),
        ({"method": "noise", "score": "loss"}, "score='loss'"),
        ({"rho": 0.0}, "rho"), ({"rho": float("nan")}, "rho"), ({"rho": float("inf")}, "rho"),
        ({"tau": 1.1}, "tau"), ({"tau": float("nan")}, "tau"),
        ({"seeds": 0}, "seeds"), ({"batch_size": 0}, "batch_size"), ({"held_out": 1.0}, "held_out"),
    ],
)  # fmt: skip
def test_settings_out_of_range(change, said):
    with pytest.raises(ConfigError, match=said):
        analyze(tiny_model(), prompts(), replace(AnalysisSettings(), **change))


class Finder(Reader):
    """Finds Mods_Rob through a run."""

    def before(self, run):
        self.lines = []
        found = replace(run, say=self.lines.append)
        self.found = find_robust_modules(found, HARMFUL, BENIGN, QUICK)


class TestThroughARun:
    def test_it_is_the_analysis_of_the_same_prompts(self, tmp_path):
        finder = Finder()
        trainer_of(tmp_path, [finder], max_steps=1).train()
        alone = analyze(tiny_model(), prompts(), QUICK).robust
        assert finder.found.pairs == alone.pairs
        assert finder.found.trace == alone.trace
        assert finder.found.probe_sha256 == sha256_of([*HARMFUL, *BENIGN])
        assert finder.lines[0].startswith(f"robust modules: {len(alone.modules)} of 14 (")
        assert len(finder.lines) == 1

    def test_a_blind_probe_is_said(self, tmp_path, monkeypatch):
        given = blind()
        monkeypatch.setattr(module.Prompts, "checked", lambda *_: given)
        finder = Finder()
        trainer_of(tmp_path, [finder], max_steps=1).train()
        assert "blind" in finder.lines[1]
        assert finder.lines[1].startswith("warning: ")


def test_float64_and_bfloat16_models():
    for dtype in (torch.float64, torch.bfloat16):
        found = analyze(tiny_model().to(dtype), prompts(), replace(NOISE, seeds=1))
        assert all(s.mean("logit") > 0 for s in found.robustness.modules)
