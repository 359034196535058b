"""Safe Delta: its equations against brute force, its edits of weights and adapters, its errors."""

from dataclasses import replace
from itertools import pairwise
from math import inf
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from holdfast import SafeDelta, apply_safe_delta, repair
from holdfast.defenses.safe_delta import damped, keep_within
from holdfast.defenses.safe_delta import safe_delta as method
from holdfast.defenses.safe_delta.equations import drift
from holdfast.defenses.safe_delta.inputs import grams
from holdfast.errors import ConfigError, ModelError
from holdfast.ops.modules import plain_name, projections
from holdfast.ops.roles.parts import oriented
from holdfast.training.standalone import standalone_run
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import (
    BENIGN,
    REFUSALS,
    batch_of,
    example,
    farthest,
    lora,
    weights_of,
)
from tests.zoo import zoo_model

OUT, IN, TOKENS = 4, 6, 20
NOTHING, ALL = 0.0, 1e30


def problem(seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Return a change, inputs that are correlated, and H without damping."""
    rng = torch.Generator().manual_seed(seed)
    delta = torch.randn(OUT, IN, generator=rng, dtype=torch.float64)
    mix = torch.randn(IN, IN, generator=rng, dtype=torch.float64)
    x = mix @ torch.randn(IN, TOKENS, generator=rng, dtype=torch.float64)
    return delta, x, 2 * x @ x.mT


def least(h: Tensor, held: dict[int, float]) -> Tensor:
    """Return the row d of least dHd with these entries held, from the normal equations."""
    fixed = list(held)
    free = [n for n in range(len(h)) if n not in held]
    d = torch.zeros(len(h), dtype=h.dtype)
    d[fixed] = torch.tensor([held[n] for n in fixed], dtype=h.dtype)
    if free:
        d[free] = torch.linalg.solve(h[free][:, free], -h[free][:, fixed] @ d[fixed])
    return d


def order_of(h: Tensor) -> list[int]:
    return torch.linalg.inv(h).diagonal().argsort(descending=True).tolist()


def costs_of(row: Tensor, h: Tensor) -> list[float]:
    """The cost of each entry by itself, from the constrained minimum and not from H's inverse."""
    return [float(0.5 * (d := least(h, {m: float(row[m])})) @ h @ d) for m in range(len(row))]


def unit_budget(h: Tensor) -> float:
    """ε at s = 1: the mean cost of an entry of 1."""
    return sum(costs_of(torch.ones(len(h), dtype=h.dtype), h)) / len(h)


@pytest.mark.parametrize("compensate", [True, False])
def test_no_budget_is_the_aligned_model_and_a_large_one_the_tuned(compensate: bool):
    delta, _, h = problem()
    none = keep_within(delta, h, NOTHING, compensate=compensate)
    assert not none.change.any()
    assert not none.mask.any()
    every = keep_within(delta, h, ALL, compensate=compensate)
    assert torch.equal(every.change, delta)
    assert every.mask.all()


@pytest.mark.parametrize("seed", range(3))
def test_with_one_entry_kept_the_rest_of_the_row_is_the_minimizer(seed: int):
    delta, x, h = problem(seed)
    first = order_of(h)[0]
    row, cost = delta[:1], costs_of(delta[0], h)[first]
    found = keep_within(row, h, cost * (1 + 1e-9) / unit_budget(h))
    assert found.mask.nonzero().tolist() == [[0, first]]
    wanted = least(h, {first: float(row[0, first])})
    torch.testing.assert_close(found.change[0], wanted, rtol=1e-8, atol=1e-10)
    assert float((found.change @ x).square().sum()) == pytest.approx(cost, rel=1e-8)
    assert drift(found.change, h) == pytest.approx(cost, rel=1e-8)
    rng = torch.Generator().manual_seed(9)
    for _ in range(20):  # No other row with that entry moves the outputs less.
        other = found.change + 0.1 * torch.randn(1, IN, generator=rng, dtype=torch.float64)
        other[0, first] = row[0, first]
        assert float((other @ x).square().sum()) > cost


@pytest.mark.parametrize("s", [0.03, 0.3, 1.0, 3.0])
def test_entries_are_kept_in_order_as_long_as_their_costs_are_in_the_budget(s: float):
    delta, _, h = problem()
    found, budget = keep_within(delta, h, s), s * unit_budget(h)
    for row, mask in zip(delta, found.mask, strict=True):
        costs, spent, kept = costs_of(row, h), 0.0, set[int]()
        for m in order_of(h):
            spent += costs[m]
            if spent > budget:
                break
            kept.add(m)
        assert set(mask.nonzero().flatten().tolist()) == kept
        assert sum(costs[m] for m in kept) <= budget


def test_the_order_is_by_what_is_kept_for_its_cost():
    """δ² over δ²/(2[H⁻¹]) is 2[H⁻¹], so one order serves all rows: the greedy of a knapsack."""
    delta, _, h = problem(4)
    ratios = [float(delta[0, m] ** 2) / costs_of(delta[0], h)[m] for m in range(IN)]
    assert sorted(range(IN), key=lambda m: -ratios[m]) == order_of(h)


def test_what_is_kept_is_nested_in_the_budget():
    delta, _, h = problem(1)
    masks = [keep_within(delta, h, s).mask for s in (0.01, 0.1, 0.5, 2.0, 10.0)]
    for less, more in pairwise(masks):
        assert bool((less <= more).all())
    assert masks[0].sum() < masks[-1].sum()


@pytest.mark.parametrize("seed", range(4))
def test_for_several_entries_the_joint_minimizer_is_a_bound(seed: int):
    delta, _, h = problem(seed)
    found = keep_within(delta, h, 3.0)
    assert found.mask.sum(1).max() > 1, "several entries are kept"
    for row, mask, change in zip(delta, found.mask, found.change, strict=True):
        joint = least(h, {int(m): float(row[m]) for m in mask.nonzero().flatten()})
        assert float(change @ h @ change) >= float(joint @ h @ joint) - 1e-9


def test_without_compensation_the_others_go_back():
    delta, _, h = problem()
    bare, made_up = (keep_within(delta, h, 0.5, compensate=c) for c in (False, True))
    assert torch.equal(bare.mask, made_up.mask)
    assert torch.equal(bare.change, torch.where(bare.mask, delta, 0))
    assert not torch.equal(bare.change, made_up.change)


def test_with_uncorrelated_inputs_there_is_nothing_to_make_up_for():
    delta, _, _ = problem()
    h = torch.diag(torch.arange(1.0, IN + 1, dtype=torch.float64))
    found = keep_within(delta, h, 0.5)
    torch.testing.assert_close(found.change, torch.where(found.mask, delta, 0))


def test_dead_inputs_cost_1_and_damp_nothing():
    gram = torch.diag(torch.tensor([2.0, 0.0, 4.0]))
    h = damped(gram, 0.01)
    mean = (4.0 + 8.0) / 2
    assert h.diagonal().tolist() == pytest.approx([4 + 0.01 * mean, 1.0, 8 + 0.01 * mean])
    assert damped(torch.zeros(2, 2), 0.01).tolist() == torch.eye(2).tolist()
    assert gram[1, 1] == 0, "the input was written to"


def seen(model: nn.Module, rows: list[Any], size: int, block: int = 0):
    run = standalone_run(model, tiny_tokenizer())
    return grams(run, projections(model), run.batches(rows, size), block)


@pytest.mark.parametrize("arch", ["opt", "qwen2_moe"])
def test_a_layer_that_gets_all_tokens_as_one_list_is_read_alike(arch: str):
    """OPT's MLP and shared experts do: it ended in an IndexError, after the run."""
    rows, model = (
        [*REFUSALS[:2], example("what is the sum of 1 plus 2 please", "3")],
        zoo_model(arch),
    )
    together, apart = (seen(model, rows, size) for size in (3, 1))
    assert batch_of(rows)["attention_mask"].min() == 0, "nothing is padded"
    for ref, [(_, gram)] in together.items():
        torch.testing.assert_close(gram, apart[ref][0][1], rtol=1e-4, atol=1e-4)


def test_inputs_are_summed_over_tokens_without_the_padding():
    rows = [*REFUSALS[:2], example("what is the sum of 1 plus 2 please", "3")]
    together, apart = (seen(tiny_model(), rows, size) for size in (3, 1))
    assert batch_of(rows)["attention_mask"].min() == 0, "nothing is padded"
    for ref, [(_, gram)] in together.items():
        torch.testing.assert_close(gram, apart[ref][0][1], rtol=1e-4, atol=1e-4)
    model, caught = tiny_model(), list[Tensor]()
    ref, linear = next(iter(projections(model).items()))
    handle = linear.register_forward_pre_hook(lambda _, x: caught.append(x[0]))
    with torch.no_grad():
        for row in rows:
            batch = batch_of([row])
            model(input_ids=batch["input_ids"], attention_mask=batch["attention_mask"])
    handle.remove()
    x = torch.cat([c.flatten(0, 1) for c in caught])
    torch.testing.assert_close(together[ref][0][1], x.mT @ x, rtol=1e-4, atol=1e-4)


def test_under_autocast_the_products_are_taken_in_float32():
    """In bfloat16 they were not positive definite, and one layer in some had no H."""
    model, plain = tiny_model(), seen(tiny_model(), REFUSALS, 5)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        low = seen(model, REFUSALS, 5)
    for ref, [(_, gram)] in low.items():
        scale = float(plain[ref][0][1].diagonal().max())
        least_value = float(torch.linalg.eigvalsh(gram.double()).min())
        assert least_value > -1e-5 * scale, ref.name


def test_blocks_are_the_diagonal_of_the_whole():
    whole, blocks = (seen(tiny_model(), REFUSALS, 5, block) for block in (0, 24))
    for ref, cuts in blocks.items():
        [(_, gram)] = whole[ref]
        assert [c.stop for c, _ in cuts][-1] == len(gram)
        assert all(torch.equal(g, gram[c, c]) or torch.allclose(g, gram[c, c]) for c, g in cuts)


@pytest.fixture(scope="module")
def aligned(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("aligned")
    tiny_model(seed=3).save_pretrained(folder)
    return str(folder)


def tuned() -> nn.Module:
    """A model near that of ``aligned``, all of whose tensors were moved."""
    model = tiny_model(seed=3)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(0.01 * torch.randn(p.shape, generator=rng))
    return model


def test_of_full_weights_no_budget_leaves_the_aligned_layers_and_nothing_else(aligned: str):
    model, before = tuned(), weights_of(tuned())
    made = apply_safe_delta(model, REFUSALS, tiny_tokenizer(), s=0.0, aligned=aligned)
    start = weights_of(tiny_model(seed=3))
    layers = {f"{ref.name}.weight" for ref in projections(model)}
    for name, now in weights_of(model).items():
        assert torch.equal(now, (start if name in layers else before)[name]), name
    assert made.report["kept"] == 0
    assert made.report["drift_left"] == 0


@pytest.mark.parametrize("block", [0, 24])
@pytest.mark.parametrize("arch", ["llama", "gpt2", "opt"])
def test_of_full_weights_it_is_the_equation_on_each_layer(tmp_path: Path, arch: str, block: int):
    """Also where a weight is stored the other way round, and in each block of columns by itself."""
    start, model, was = (zoo_model(arch, seed=3) for _ in range(3))
    start.save_pretrained(tmp_path)
    rng = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for p, q in zip(model.parameters(), was.parameters(), strict=True):
            p.add_(0.01 * torch.randn(p.shape, generator=rng))
            q.copy_(p)
    options: Any = {"s": 2e-3, "aligned": str(tmp_path), "block": block}
    made = apply_safe_delta(model, REFUSALS, tiny_tokenizer(), **options)
    assert 0.05 < made.report["kept"] < 0.95
    live, old, base = (projections(m) for m in (model, was, start))
    for ref, cuts in seen(start, REFUSALS, 25, block).items():
        now, tuned_, w0 = (
            oriented(at[ref], at[ref].weight.detach()) for at in (live, old, base)
        )  # fmt: skip
        assert len(cuts) > 1 or not block
        for columns, gram in cuts:
            delta = (tuned_ - w0)[:, columns]
            wanted = keep_within(delta, damped(gram, 0.01), 2e-3).change.float()
            torch.testing.assert_close((now - w0)[:, columns], wanted, rtol=1e-3, atol=1e-6)
    assert sum(row["kept"] for row in made.documents["kept"]["modules"]) > 0


def test_the_share_of_entries_kept_is_of_all_entries_alike(aligned: str):
    """A mean of the layers' shares would weigh the entries of a small weight more."""
    model, start = tuned(), tiny_model(seed=3)
    made = apply_safe_delta(
        model, REFUSALS, tiny_tokenizer(), s=2e-3, aligned=aligned, compensate=False
    )
    kept, every = dict[int, int](), dict[int, int]()
    for (ref, now), was in zip(
        projections(model).items(), projections(start).values(), strict=True
    ):
        moved = now.weight != was.weight  # Without compensation, what is not kept is back at W0.
        kept[ref.layer] = kept.get(ref.layer, 0) + int(moved.sum())
        every[ref.layer] = every.get(ref.layer, 0) + moved.numel()
    share = sum(kept.values()) / sum(every.values())
    assert 0.05 < share < 0.95
    assert made.report["kept"] == pytest.approx(share, abs=1e-3)
    shown = {row[0]: row[1] for row in made.report["by_layer"].rows}
    assert shown == {n: pytest.approx(kept[n] / every[n], abs=1e-3) for n in every}


def test_what_it_leaves_tuned_is_told(aligned: str):
    for model, options, left in ((tuned(), {"aligned": aligned}, True), (strong(), {}, False)):
        run, lines = standalone_run(model, tiny_tokenizer()), list[str]()
        SafeDelta(safe=REFUSALS, s=0.0, **options).after(replace(run, say=lines.append))
        others = len(weights_of(model)) - len(projections(model)) * (1 if left else 2)
        told = [line for line in lines if "stay as they were tuned" in line]
        assert told == ([f"safe_delta: {others} trained tensors of other modules stay as they were "
                         "tuned"] if left else [])  # fmt: skip
        assert (others > 0) is left


def test_what_was_not_tuned_at_all_is_told(aligned: str):
    nothing = "safe_delta: nothing was tuned: these are the aligned weights already"
    untrained = lora(tiny_model())
    with torch.no_grad():
        for name, p in untrained.named_parameters():
            p.mul_(0.0 if "lora_B" in name else 1.0)
    cases = [(tiny_model(seed=3), {"aligned": aligned}), (untrained, {}), (lora(tiny_model()), {})]
    for number, (model, options) in enumerate(cases):
        run, lines = standalone_run(model, tiny_tokenizer()), list[str]()
        SafeDelta(safe=REFUSALS, **options).after(replace(run, say=lines.append))
        assert (nothing in lines) is (number < 2)


@pytest.mark.parametrize("s", [ALL, inf])
def test_with_budget_for_all_no_bit_moves(aligned: str, s: float):
    for model, options in ((tuned(), {"aligned": aligned}), (lora(tiny_model()), {})):
        before = weights_of(model)
        made = apply_safe_delta(model, REFUSALS, tiny_tokenizer(), s=s, **options)
        assert farthest(weights_of(model), before) == 0
        assert made.report["kept"] == 1.0


def products(model: nn.Module) -> dict[str, Tensor]:
    """Return s·BA of each adapted layer."""
    own = weights_of(model)
    return {
        plain_name(n).split(".lora_B")[0]: 2.0 * (b @ own[n.replace(".lora_B.", ".lora_A.")])
        for n, b in own.items() if ".lora_B." in n
    }  # fmt: skip


def strong() -> Any:
    """A model with an adapter of rank 4 of which every direction counts."""
    model = lora(tiny_model())
    rng = torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, p in model.named_parameters():
            if "lora_B" in name:
                p.copy_(0.1 * torch.randn(p.shape, generator=rng))
    return model


def test_of_an_adapter_it_is_the_nearest_of_its_rank_and_the_error_is_told():
    model = strong()
    before = products(model)
    made = apply_safe_delta(model, REFUSALS, tiny_tokenizer(), s=1e-2)
    assert 0.05 < made.report["kept"] < 0.95
    after, rows = products(model), {r["module"]: r for r in made.documents["kept"]["modules"]}
    assert after.keys() == rows.keys()
    for ref, [(_, gram)] in seen(tiny_model(), REFUSALS, 25).items():
        wanted = keep_within(before[ref.name], damped(gram, 0.01), 1e-2).change.float()
        u, values, vh = torch.linalg.svd(wanted)
        near = (u[:, :4] * values[:4]) @ vh[:4]
        torch.testing.assert_close(after[ref.name], near, rtol=1e-3, atol=1e-4)
        error = float(values[4:].norm() / values.norm())
        assert rows[ref.name]["refactor_error"] == pytest.approx(error, abs=1e-3)
    assert made.report["refactor_error"] > 0.01


def test_of_an_adapter_no_budget_leaves_the_base():
    model, base = strong(), tiny_model()
    ids = batch_of(BENIGN)["input_ids"]
    apply_safe_delta(model, REFUSALS, tiny_tokenizer(), s=0.0)
    with torch.no_grad():
        assert torch.equal(model.eval()(input_ids=ids).logits, base(input_ids=ids).logits)


def test_after_an_error_nothing_is_attached_and_no_bit_moved(
    aligned: str, monkeypatch: pytest.MonkeyPatch
):
    model = tuned()
    before = weights_of(model)

    def broken(*_: Any, **__: Any) -> None:
        raise OSError("broken")

    monkeypatch.setattr(method, "keep_within", broken)
    with pytest.raises(OSError, match="broken"):
        apply_safe_delta(model, REFUSALS, tiny_tokenizer(), aligned=aligned)
    monkeypatch.undo()
    monkeypatch.setattr("holdfast.ops.engine.LocalEngine.forward", broken)
    with pytest.raises(OSError, match="broken"):
        apply_safe_delta(model, REFUSALS, tiny_tokenizer(), aligned=aligned)
    assert farthest(weights_of(model), before) == 0
    assert not any(m._forward_pre_hooks for m in model.modules())


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"s": -1.0}, r"s=-1\.0"),
        ({"s": float("nan")}, "s=nan"),
        ({"damping": 0.0}, "more than 0"),
        ({"damping": -1.0}, r"damping=-1\.0"),
        ({"block": -1}, "block=-1"),
        ({"block": 1.5}, r"block=1\.5 must be a whole number"),
        ({"rows": 0}, "rows=0"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"safe": None}, "safe=FILE"),
        ({"safe": []}, "an empty one"),
    ],
)
def test_bad_fields_are_refused_before_anything_runs(fields: dict[str, Any], message: str):
    with pytest.raises(ConfigError, match=message):
        SafeDelta(**{"safe": REFUSALS, **fields}).validate()


def test_full_weights_need_the_aligned_model_and_an_adapter_both_factors():
    with pytest.raises(ConfigError, match="aligned=DIR") as told:
        repair(SafeDelta(safe=REFUSALS), tiny_model(), tiny_tokenizer())
    assert "safe=FILE" not in str(told.value), "refusals are given, and stand in for nothing"
    model = lora(tiny_model())
    for name, p in model.named_parameters():
        p.requires_grad_("lora_B" in name)
    with pytest.raises(ModelError, match=r"lora_A.*is frozen"):
        SafeDelta(safe=REFUSALS).check_model(model)
    with pytest.raises(ModelError, match="not exact on this adapter"):
        SafeDelta(safe=REFUSALS).check_model(lora(tiny_model(), use_dora=True))


def test_off_is_a_word_in_json():
    assert SafeDelta(s=inf).config()["s"] == "inf"
    assert SafeDelta(s=0.5).config()["s"] == 0.5
    assert SafeDelta(s=inf).is_off
    assert SafeDelta(compensate=False).variant().label == "uncompensated"


@pytest.mark.parametrize(("seed", "told"), [(3, 0), (4, 1)])
def test_an_aligned_folder_of_an_unrelated_model_is_told(tmp_path: Path, seed: int, told: int):
    tiny_model(seed=seed).save_pretrained(tmp_path)
    said: list[str] = []
    method_ = replace(SafeDelta(safe=REFUSALS), aligned=str(tmp_path))
    repair(method_, tuned(), tiny_tokenizer(), say=said.append)
    assert sum("next to nothing" in line for line in said) == told
