"""Each pattern on maps where it holds, where the opposite does, and where nothing can be told."""

import pytest

from holdfast.analysis.modules.perturbation import Damage
from holdfast.analysis.modules.robust_modules import ModuleAt, RobustModules, Trial
from holdfast.analysis.modules.robustness import ModuleScore, Robustness
from holdfast.analysis.patterns import added, depth, group_means, joint, queries_and_keys
from holdfast.analysis.probing.probe import Quality

ROLES = ["q", "k", "v", "o", "gate", "up", "down"]
GOOD = Quality(
    harmful=20, benign=20, accuracy_harmful=1, balanced_accuracy=1, auroc=1,
    mean_logit_harmful=3, mean_logit_benign=-3,
)  # fmt: skip


def a_map(score, layers=6, draws=None) -> Robustness:
    """A map with ``score(layer, role)``, estimated or with ``draws`` around it."""

    def row(layer, role):
        at, value = ModuleAt(layer=layer, role=role), score(layer, role)
        if draws is None:
            return ModuleScore(module=at, name=f"{layer}.{role}", estimate=value)
        damage = [
            Damage(drift=value * d, logit=0, mean_logit=0, accuracy=0, balanced_accuracy=0)
            for d in draws
        ]
        return ModuleScore(module=at, name=f"{layer}.{role}", damage=damage)

    return Robustness(
        layers=layers,
        roles=ROLES,
        method="gradient" if draws is None else "noise",
        score="logit" if draws is None else "drift",
        rho=0.1,
        seeds=[1, 2],
        probe={"held_out": GOOD},
        modules=[row(layer, role) for layer in range(layers) for role in ROLES],
    )


def falling(layer, role):
    return 1 / (1 + layer) + 0.01 * ROLES.index(role)


def rising(layer, role):
    return 1 + layer + 0.01 * ROLES.index(role)


def scattered(layer, role):
    return 1 + ((layer * 7 + ROLES.index(role)) * 29 % 17)


@pytest.mark.parametrize(
    ("score", "verdict"),
    [
        (falling, "holds here"),
        (rising, "does not hold here"),
        (scattered, "cannot be told"),
        (lambda *_: 1.0, "cannot be told"),
    ],
)
def test_depth(score, verdict):
    assert depth(a_map(score)).verdict == verdict


def test_depth_of_one_layer_cannot_be_told():
    assert depth(a_map(falling, layers=1)).verdict == "cannot be told"


@pytest.mark.parametrize(
    ("factor", "verdict"), [(3, "holds here"), (1 / 3, "does not hold here"), (1, "cannot be told")]
)
def test_queries_and_keys_are_compared_within_their_layer(factor, verdict):
    def score(layer, role):
        wiggle = 1.1 if (layer + ROLES.index(role)) % 2 else 1.0
        return 10.0**-layer * wiggle * (factor if role in "qk" else 1)

    found = queries_and_keys(a_map(score))
    assert found.verdict == verdict
    assert f"{factor:.2f}"[:3] in found.figure


def test_scores_of_zero_have_no_ratio():
    assert queries_and_keys(a_map(lambda *_: 0.0)).verdict == "cannot be told"


def robust(*trials, score="drift", whole=10.0, tau=0.1) -> RobustModules:
    trace = [
        Trial(module=ModuleAt(layer=n, role="q"), score=s, kept=kept)
        for n, (s, kept) in enumerate(trials)
    ]
    modules = [t.module for t in trace if t.kept]
    return RobustModules(
        layers=4, roles=ROLES, modules=modules, score=score, tau=tau, whole=whole, trace=trace
    )


def test_modules_robust_alone_and_sensitive_together():
    found = joint(robust((0.6, True), (1.5, False)), {(1, "q"): 0.4})
    assert found.verdict == "holds here"
    assert "1 of 1" in found.figure
    assert "1.50 times their sum: more than" in found.figure
    added_up = joint(robust((0.6, True), (1.05, False)), {(1, "q"): 0.4})
    assert "1.05 times their sum: no more than" in added_up.figure


def test_a_module_beyond_the_limit_alone_shows_nothing():
    found = joint(robust((0.6, True), (1.5, False)), {(1, "q"): 1.2})
    assert found.verdict == "does not hold here"
    assert "0 of 1" in found.figure


def test_a_search_that_kept_everything_shows_nothing():
    assert joint(robust((0.6, True)), {}).verdict == "cannot be told"
    assert joint(robust((0.0, False), whole=0.0), {(0, "q"): 0}).verdict == "cannot be told"


def test_logits_add_in_squares():
    assert added(3, 4, "logit") == 5
    assert added(3, 4, "drift") == 7


def test_group_means_resample_modules_and_draws():
    [q, *_] = group_means(a_map(falling, draws=(0.5, 1.5)), "role")
    one = group_means(a_map(falling, draws=(1.0,)), "role")[0]
    assert q.mean == pytest.approx(one.mean)
    assert q.group == "q"
    assert q.modules == 6
    assert q.low < one.low < one.mean < one.high < q.high
    depths = group_means(a_map(falling), "layer")
    assert [d.group for d in depths] == list("012345")
    assert depths[0].mean > depths[5].high
