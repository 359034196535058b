"""Controls of Mods_Rob: what each holds fixed, exactly."""

from collections import Counter

import pytest

from holdfast import MLLR
from holdfast.defenses.frozen import trained_sizes
from holdfast.defenses.subsets import SUBSETS, TOLERANCE, chosen_modules
from holdfast.errors import ConfigError
from holdfast.results.words import CONTROLS
from tests.tiny import tiny_model
from tests.unit.defenses.test_ml_lr_and_swat import listed
from tests.unit.defenses.tiny_runs import lora, trained

ATTENTION = ("k", "o", "q", "v")
LAYERS = 6
SIZES = {
    (layer, role): 16 if role in ATTENTION else 43
    for layer in range(LAYERS)
    for role in (*ATTENTION, "down", "gate", "up")
}
"""An MLP's modules are larger, and no multiple of attention's."""
ROBUST = {
    *((n, "q") for n in range(LAYERS)), *((n, "k") for n in range(LAYERS)),
    *((n, "v") for n in (1, 2, 3, 4, 5)), (4, "o"), (5, "o"),
}  # fmt: skip


def draws(subset, robust=ROBUST, sizes=SIZES):
    return [chosen_modules(robust, sizes, subset, seed) for seed in range(20)]


def parameters(modules, sizes=SIZES):
    return sum(sizes[at] for at in modules)


def test_random_modules_of_as_many_parameters():
    """Fault F4: the only random control held the number of modules, with up to 46 % more
    parameters and other roles than the robust ones."""
    assert max(parameters(drawn) for drawn in draws("random")) > 1.3 * parameters(ROBUST)
    found = draws("random_matched")
    wanted = parameters(ROBUST)
    assert all((1 - TOLERANCE) * wanted <= parameters(drawn) <= wanted for drawn in found)
    assert all(any(role not in ATTENTION for _, role in drawn) for drawn in found)
    assert len({tuple(drawn) for drawn in found}) == 20
    assert found[3] == chosen_modules(ROBUST, SIZES, "random_matched", 3)


@pytest.mark.parametrize("mlp", [16, 32])
def test_parameters_are_equal_where_they_can_be(mlp):
    """Fault F4: no random control had the parameters of Mods_Rob."""
    sizes = {at: size if at[1] in ATTENTION else mlp for at, size in SIZES.items()}
    for drawn in draws("random_matched", sizes=sizes):
        assert parameters(drawn, sizes) == parameters(ROBUST, sizes)


def test_roles_keeps_each_roles_count():
    """Fault F4: no control had the roles of Mods_Rob, which is attention alone."""
    found = draws("roles")
    counts = Counter(role for _, role in ROBUST)
    assert all(Counter(role for _, role in drawn) == counts for drawn in found)
    assert {parameters(drawn) for drawn in found} == {parameters(ROBUST)}
    assert all(drawn != sorted(ROBUST) for drawn in found)
    assert len({tuple(drawn) for drawn in found}) > 15
    layers = Counter(at for drawn in found for at in drawn if at[1] == "o")
    assert set(layers) == {(n, "o") for n in range(LAYERS)}


def test_attention_is_all_of_it():
    """Fault F4: whether the search is needed at all, or attention is enough, had no control."""
    for drawn in draws("attention"):
        assert drawn == sorted(at for at in SIZES if at[1] in ATTENTION)


@pytest.mark.parametrize("subset", ["roles", "attention"])
def test_a_control_that_can_only_be_mods_rob_is_refused(subset):
    """Fault F4: a control of the same modules as Mods_Rob would have shown a difference of 0."""
    whole = {at for at in SIZES if at[1] in ATTENTION}
    with pytest.raises(ConfigError, match=f"subset={subset} can only be the 24 robust modules"):
        chosen_modules(whole, SIZES, subset, 0)


@pytest.mark.parametrize(("robust", "sizes"), [
    ({(0, "q")}, {(0, "q"): 10, (0, "k"): 7, (1, "q"): 11}),
    ({(0, "q"), (0, "k")}, {(0, "q"): 10, (0, "k"): 7}),
])  # fmt: skip
def test_parameters_that_cannot_be_matched_are_refused(robust, sizes):
    """Fault F4: a random control was off in parameters without a word."""
    with pytest.raises(ConfigError, match=r"random_matched finds no other modules.*nearest: "):
        chosen_modules(robust, sizes, "random_matched", 0)


def test_sizes_are_of_what_learns():
    model = tiny_model()
    whole = trained_sizes(model)
    assert whole[0, "q"] == model.model.layers[0].self_attn.q_proj.weight.numel()
    assert whole[0, "k"] == whole[0, "q"] // 2
    adapted = trained_sizes(lora(tiny_model(), target_modules=["q_proj", "k_proj"]))
    assert set(adapted) == {(n, role) for n in (0, 1) for role in ("q", "k")}
    assert whole[0, "q"] > adapted[0, "q"] > adapted[0, "k"]


@pytest.mark.parametrize("subset", ["random_matched", "roles", "attention"])
def test_a_run_holds_the_control_it_was_asked_for(tmp_path, subset):
    """Fault F4: these values of `subset` were refused."""
    file = listed(tmp_path, {(0, "q"), (0, "v"), (1, "v"), (1, "o"), (1, "gate")})
    model = tiny_model()
    [defense] = trained(
        tmp_path / "out", [MLLR(file, subset=subset)], model=model, max_steps=1
    ).defenses
    assert defense.variant().label == subset
    assert defense.variant().control
    found = [(layer, role) for layer, role in defense.robust_]
    robust = {(0, "q"), (0, "v"), (1, "v"), (1, "o"), (1, "gate")}
    assert found == chosen_modules(robust, trained_sizes(model), subset, 1)  # The run's seed.
    assert set(found) != robust


def test_every_control_has_a_readers_name():
    assert set(CONTROLS) == set(SUBSETS) - {"robust"}
