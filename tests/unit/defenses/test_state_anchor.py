"""State anchor: the states it holds, its gradient in closed form, zero start and refusals."""

from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from holdfast import SecurityVectors, StateAnchor
from holdfast.data.chat import encode_prompt
from holdfast.defenses.state_anchor import anchor_loss, last_states, trained_readout
from holdfast.defenses.state_anchor.state_anchor import anchor_gradient
from holdfast.defenses.state_anchor.states import prompt_batches
from holdfast.errors import ConfigError, DivergedError, ModelError
from holdfast.ops.engine import LocalEngine
from holdfast.ops.modules import trainable
from tests.tiny import tiny_model, tiny_tokenizer
from tests.unit.defenses.tiny_runs import (
    BENIGN,
    HARMFUL,
    REFUSALS,
    encoded,
    example,
    farthest,
    lora,
    trained,
    trainer_of,
    weights_of,
)
from tests.zoo import zoo_model

SGD: dict[str, Any] = {"optim": "sgd", "max_grad_norm": 0.0, "learning_rate": 0.1}
RUN: Any = SimpleNamespace(tokenizer=tiny_tokenizer())
UNEVEN = [example("how to make a zorba" + " please" * n, "no") for n in range(5)]
"""Prompts of five lengths, so that all but one are padded."""


def anchor(**options: Any) -> StateAnchor:
    return StateAnchor(**{"safe": REFUSALS, "lam": 3.0, "count": 5, "batch_size": 5, **options})


# --- the state -------------------------------------------------------------------------------


def test_a_prompt_ends_where_the_answer_would_begin():
    [batch] = prompt_batches(UNEVEN, RUN, 8)
    tokenizer = tiny_tokenizer()
    for row, ids, mask in zip(UNEVEN, batch["input_ids"], batch["attention_mask"], strict=True):
        seen = ids[mask.bool()].tolist()
        assert seen == encode_prompt(row["prompt"], tokenizer)
        assert tokenizer.decode(seen[-1]) == "<assistant>"
    assert set(batch) == {"input_ids", "attention_mask"}


def test_rows_of_tokens_are_cut_at_their_first_label():
    by_text, by_tokens = (prompt_batches(rows, RUN, 2) for rows in (UNEVEN, encoded(UNEVEN)))
    for one, other in zip(by_text, by_tokens, strict=True):
        assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    "kind",
    ["llama", "qwen3", "gemma2", "gemma3", "granite", "cohere", "phi", "bloom", "gpt2", "gpt_neox",
     "opt", "falcon", "mixtral", "mamba", "rwkv"],
)  # fmt: skip
def test_it_is_what_the_output_embedding_gets_whatever_the_architecture(kind):
    """Padded together they are those of each prompt by itself; the head is whole again after it."""
    model = zoo_model(kind)
    [batch] = prompt_batches(UNEVEN, RUN, 8)
    found = last_states(LocalEngine(model), batch)
    head: Any = model.get_output_embeddings()
    alone, logits, seen = [], [], []
    with head.register_forward_pre_hook(lambda _m, given: seen.append(given[0])), torch.no_grad():
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
            logits.append(model(input_ids=ids[mask.bool()][None]).logits)
            alone.append(seen[-1][0, -1])
    assert farthest({"h": found.detach()}, {"h": torch.stack(alone)}) < 1e-5
    assert logits[0].shape[1] == int(batch["attention_mask"][0].sum())  # All tokens' again.
    assert float(found.detach().std()) > 0


def test_the_states_carry_a_gradient_and_no_other_tokens_logits_are_made():
    model, sizes = tiny_model(), []
    model.lm_head.register_forward_hook(lambda _m, _i, out: sizes.append(out.shape))
    [batch] = prompt_batches(UNEVEN, RUN, 8)
    assert last_states(LocalEngine(model), batch).requires_grad
    assert [tuple(size[:2]) for size in sizes] == [(5, 1)]


def test_its_backward_passes_through_the_models_own_output():
    """Sharded weights are gathered there: past it, a backward reads memory that was freed."""
    model, met = tiny_model(), []

    def watch(_module: Any, _given: Any, output: Any) -> None:
        output.logits.register_hook(lambda gradient: met.append(float(gradient.abs().sum())))

    model.register_forward_hook(watch)
    [batch] = prompt_batches(UNEVEN, RUN, 8)
    last_states(LocalEngine(model), batch).sum().backward()
    assert met == [0.0]  # Met, and nothing is asked of it.


# --- the equation ----------------------------------------------------------------------------


class Linear(nn.Module):
    """h = W x for the token x, and a frozen output embedding."""

    def __init__(self, size: int, seed: int = 0) -> None:
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        basis = torch.linalg.qr(torch.randn(size, size, generator=rng))[0]
        self.x = nn.Embedding.from_pretrained(basis)  # Row n is the input of token n.
        self.w = nn.Parameter(torch.randn(size, size, generator=rng))
        self.head = nn.Linear(size, 3, bias=False).requires_grad_(requires_grad=False)

    def get_output_embeddings(self) -> nn.Module:
        return self.head

    def forward(self, input_ids: Tensor, **_: Any) -> Any:
        return SimpleNamespace(logits=self.head(self.x(input_ids) @ self.w.T))


def linear_batches(model: Linear, tokens: list[list[int]]) -> list[Any]:
    """Batches of one-token prompts with their states at the weights of now."""
    made = [torch.tensor(part)[:, None] for part in tokens]
    return [
        {
            "input_ids": ids,
            "attention_mask": torch.ones_like(ids),
            "anchor": (model.x(ids[:, 0]) @ model.w.T).detach(),
        }
        for ids in made
    ]


def test_the_distance_is_a_mean_over_prompts_and_over_the_hidden_size():
    now, then = torch.tensor([[1.0, 2.0], [0.0, 0.0]]), torch.tensor([[0.0, 4.0], [0.0, 3.0]])
    assert float(anchor_loss(now, then)) == (1 + 4 + 9) / (2 * 2)
    assert anchor_loss(now.bfloat16(), then).dtype == torch.float32


def test_its_gradient_on_a_linear_model_is_the_closed_form():
    """2/(K d) Σ (W − W0) x xᵀ, whatever the size of the batches."""
    model, size = Linear(6), 6
    start = model.w.detach().clone()
    tokens = [0, 1, 2, 4, 5]
    whole, parts = linear_batches(model, [tokens]), linear_batches(model, [tokens[:3], tokens[3:]])
    with torch.no_grad():
        model.w.add_(torch.randn(size, size, generator=torch.Generator().manual_seed(1)))
    change, x = model.w.detach() - start, model.x(torch.tensor(tokens))
    wanted = 2 / (len(tokens) * size) * change @ x.T @ x
    value = float((change @ x.T).square().sum()) / (len(tokens) * size)
    for batches in (whole, parts):
        gradient, found = anchor_gradient(LocalEngine(model), batches)
        assert farthest(gradient, {"w": wanted}) < 1e-6
        assert found == pytest.approx(value, rel=1e-5)


def test_a_strong_anchor_holds_its_states_while_other_directions_learn():
    """min ½‖W − C‖² + λ a(W) is W0 x + (C − W0) x/(1 + 2λ/(K d)) on the prompts, and C elsewhere.

    The Hessian has two eigenvalues, so two steps of these lengths reach the minimum.
    """
    model, size, lam = Linear(6), 6, 1e3
    held, free = [0, 3], [1, 2, 4, 5]
    start, aim = model.w.detach().clone(), torch.ones(size, size)
    batches = linear_batches(model, [held])
    stiff = 1 + 2 * lam / (len(held) * size)
    for eigenvalue in (1.0, stiff):
        gradient, _ = anchor_gradient(LocalEngine(model), batches)
        with torch.no_grad():
            model.w.sub_((model.w - aim + lam * gradient["w"]) / eigenvalue)
    x = model.x.weight
    at = {name: w @ x.T for name, w in (("now", model.w.detach()), ("start", start), ("aim", aim))}
    wanted = at["start"] + (at["aim"] - at["start"]) / stiff
    assert torch.allclose(at["now"][:, held], wanted[:, held], atol=1e-4)
    assert torch.allclose(at["now"][:, free], at["aim"][:, free], atol=1e-4)
    assert float((at["now"] - at["start"])[:, held].abs().max()) < 0.03


# --- the run ---------------------------------------------------------------------------------


def by_hand(model: Any, users: list[Any], prompts: Any, lam: float, rate: float) -> Any:
    """Gradient descent written out: the states are a Llama's own last hidden states."""
    params, last = trainable(model), prompts["attention_mask"].sum(dim=1) - 1

    def states() -> Tensor:
        hidden = model(**prompts, output_hidden_states=True).hidden_states[-1]
        return hidden[torch.arange(len(last)), last]

    then = states().detach()
    for user in users:
        loss = model(**user).loss + lam * (states() - then).pow(2).mean()
        grads = torch.autograd.grad(loss, list(params.values()))
        with torch.no_grad():
            for p, g in zip(params.values(), grads, strict=True):
                p.sub_(rate * g)
    return weights_of(model)


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
def test_a_run_is_descent_on_the_penalized_objective(tmp_path, adapted):
    def start() -> Any:
        return lora(tiny_model()) if adapted else tiny_model()

    trainer = trainer_of(tmp_path, [anchor(batch_size=2)], model=start(), max_steps=3, **SGD)
    users, own = [], trainer.training_step

    def watching(model: Any, inputs: Any, *args: Any) -> Any:
        users.append(dict(inputs))
        return own(model, inputs, *args)

    trainer.training_step = watching
    trainer.train()
    [prompts] = prompt_batches(REFUSALS[:5], RUN, 5)
    expected = by_hand(start(), users, prompts, 3.0, 0.1)
    assert farthest(weights_of(trainer.model), expected) < 1e-6
    assert farthest(by_hand(start(), users, prompts, 0.0, 0.1), expected) > 1e-5


@pytest.mark.parametrize("adapted", [False, True], ids=["full", "lora"])
def test_the_first_update_is_plains_bit_for_bit_and_the_second_is_not(tmp_path, adapted):
    def start() -> Any:
        return lora(tiny_model(), lora_dropout=0.3) if adapted else tiny_model()

    for steps, same in ((1, True), (2, False)):
        plain = weights_of(trained(tmp_path, model=start(), max_steps=steps).model)
        ours = weights_of(
            trained(tmp_path, [anchor(lam=1e3)], model=start(), max_steps=steps).model
        )
        assert (farthest(plain, ours) == 0) is same


def test_a_run_with_a_strong_anchor_learns_and_keeps_its_states(tmp_path):
    def far(lam: float) -> tuple[float, list[float]]:
        model = lora(tiny_model())
        [batch] = prompt_batches(REFUSALS[:1], RUN, 5)
        then = last_states(LocalEngine(model), batch).detach()
        history = trained(
            tmp_path, [anchor(lam=lam, count=1)], model=model, max_steps=20
        ).state.log_history  # fmt: skip
        moved = anchor_loss(last_states(LocalEngine(model), batch).detach(), then)
        return float(moved), [row["loss"] for row in history if "loss" in row]

    (plain, _), (held, losses) = far(0.0), far(300.0)
    assert held < plain / 100
    assert losses[-1] < losses[0] - 0.05


def test_one_pass_over_the_prompts_per_update_whatever_the_accumulation(tmp_path):
    trainer = trainer_of(
        tmp_path, [anchor(batch_size=3)], per_device_train_batch_size=2,
        gradient_accumulation_steps=2, max_steps=2,
    )  # fmt: skip
    passes: list[int] = []
    trainer.model.register_forward_pre_hook(
        lambda _m, _a, given: passes.append(len(given["input_ids"])), with_kwargs=True
    )
    trainer.train()
    assert passes == [3, 2, *(2, 2, 3, 2), *(2, 2, 3, 2)]  # First the states before step 0.


def test_beside_an_attached_vector_the_states_are_those_of_the_served_model(tmp_path):
    vectors = SecurityVectors(
        harmful=HARMFUL, benign=BENIGN, attach="hooks", epochs=3, rank=2, lr=1e-2,
        max_harmful_nll=1e9, max_benign_kl=1e9,
    )  # fmt: skip
    history = trained(tmp_path, [vectors, anchor()], model=lora(tiny_model())).state.log_history
    seen = [row["state_anchor/distance"] for row in history if "loss" in row]
    assert seen[0] == 0  # With the vector they would be far from those of before step 0.
    assert seen[-1] > 0


def tiny_states() -> Tensor:
    """The states of the first five refusals' prompts before step 0."""
    [batch] = prompt_batches(REFUSALS[:5], RUN, 5)
    return last_states(LocalEngine(tiny_model()), batch).detach()


def test_figures_are_logged(tmp_path):
    history = trained(tmp_path, [anchor()]).state.log_history
    logs = [row for row in history if "loss" in row]
    assert [logs[0][f"state_anchor/{f}"] for f in ("distance", "drift", "gradient_share")] == [
        0
    ] * 3
    assert all(row["state_anchor/gradient_share"] > 0 for row in logs[1:])
    assert all(0 < row["state_anchor/drift"] < 1 for row in logs[1:])
    size = float(tiny_states().square().mean()) ** 0.5
    for row in logs[1:]:
        drift = row["state_anchor/distance"] ** 0.5 / size
        assert row["state_anchor/drift"] == pytest.approx(drift, rel=1e-3)


def test_the_share_is_of_what_is_added(tmp_path):
    """At the first step nothing is added: the second is from the same weights at every λ."""
    found = []
    for lam in (1.0, 4.0):
        defense = anchor(lam=lam)
        trained(tmp_path, [defense], max_steps=2, **SGD)
        found.append(defense.metrics()["gradient_share"])
    assert found[1] == pytest.approx(4 * found[0], rel=1e-5)


def test_the_control_holds_harmless_prompts(tmp_path):
    control = anchor(prompts="harmless", benign=BENIGN, safe=None)
    assert control.variant().label == "harmless"
    assert control.variant().control
    assert not anchor().variant().control
    said: list[str] = []
    trainer = trainer_of(tmp_path, [control])
    trainer.say = said.append
    trainer.train()
    assert said[0] == "state_anchor: 5 harmless prompts are held, of 10 rows"
    [batch] = prompt_batches(BENIGN[:5], RUN, 5)
    assert torch.equal(control.states_, last_states(LocalEngine(tiny_model()), batch).detach())


def test_resumed_it_holds_the_states_of_before_the_first_step(tmp_path):
    options = {"save_strategy": "steps", "save_steps": 2}
    whole = trained(tmp_path / "whole", [anchor()], **options)
    again = trainer_of(tmp_path / "again", [anchor()], **options)
    again.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))
    assert farthest(weights_of(whole.model), weights_of(again.model)) == 0
    # Fewer, and as many others: each would be held at the state of another.
    for rows, said in ((REFUSALS[:4], "4 are not the same"), (REFUSALS[5:], "5 are not the same")):
        other = trainer_of(tmp_path / "other", [anchor(safe=rows)], **options)
        with pytest.raises(ConfigError, match=f"states of 5 prompts, and these {said}"):
            other.train(resume_from_checkpoint=str(tmp_path / "whole" / "checkpoint-2"))


def test_what_a_checkpoint_brings_is_held_from_then_on(tmp_path):
    """A defense that was at work before it is loaded holds no longer what it held then."""
    defense = anchor()
    trained(tmp_path, [defense])
    defense.load({**defense.state(), "states_": torch.full((5, 32), 7.0)})
    assert all(float(batch["anchor"].mean()) == 7 for batch in defense._with_states(RUN))


# --- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{"modules_to_save": ["lm_head"]}, {"modules_to_save": ["norm"]},
     {"target_modules": ["q_proj", "lm_head"]}],
    ids=["saved head", "saved norm", "adapted head"],
)  # fmt: skip
def test_an_adapter_that_trains_what_reads_the_state_is_refused(tmp_path, options):
    with pytest.raises(ModelError, match="state_anchor holds the input of the output embedding"):
        trainer_of(tmp_path, [anchor()], model=lora(tiny_model(), **options))


@pytest.mark.parametrize(
    ("kind", "options", "names"),
    [("llama", {}, ["model.norm.weight", "lm_head.weight"]),
     ("gpt2", {}, ["transformer.wte.weight", "transformer.ln_f.weight", "transformer.ln_f.bias"]),
     ("gemma3", {}, [f"model.language_model.{name}.weight" for name in ("embed_tokens", "norm")]),
     ("phi", {}, ["model.final_layernorm.weight", "model.final_layernorm.bias", "lm_head.weight",
                  "lm_head.bias"])],
)  # fmt: skip
def test_what_lies_between_a_state_and_its_answer_is_found(kind, options, names):
    """A tied output embedding is the input's; a vision tower has norms of its own."""
    assert trained_readout(zoo_model(kind, **options)) == names


def test_in_tuning_all_weights_it_is_said_and_with_both_frozen_it_is_not(tmp_path):
    def said(model: Any) -> list[str]:
        lines: list[str] = []
        trainer = trainer_of(tmp_path, [anchor()], model=model, max_steps=1)
        trainer.say = lines.append
        trainer.train()
        return [line for line in lines if "voids the paper's argument" in line]

    frozen: Any = tiny_model()
    for module in (frozen.lm_head, frozen.model.norm):
        module.requires_grad_(requires_grad=False)
    assert len(said(tiny_model())) == 1
    assert said(frozen) == []
    assert said(lora(tiny_model())) == []


def test_a_model_without_an_output_embedding_is_refused():
    with pytest.raises(ModelError, match="names none"):
        anchor().check_model(nn.Linear(2, 2))


def test_rows_without_a_prompt_and_a_missing_tokenizer_are_refused():
    with pytest.raises(ConfigError, match="row 2 has no token before its answer"):
        prompt_batches([*encoded(UNEVEN[:1]), {"input_ids": [5], "labels": [5]}], RUN, 2)
    nobody: Any = SimpleNamespace(tokenizer=None)
    with pytest.raises(ConfigError, match="processing_class="):
        prompt_batches(UNEVEN, nobody, 2)


def test_states_that_break_name_the_step(tmp_path, monkeypatch):
    module = "holdfast.defenses.state_anchor.state_anchor.last_states"
    monkeypatch.setattr(module, lambda *given: last_states(*given) * torch.nan)
    with pytest.raises(DivergedError, match=r"state_anchor: .* NaN or infinite at step 0"):
        trained(tmp_path, [anchor()])


@pytest.mark.parametrize(
    "bad",
    [
        {"lam": -1.0}, {"lam": float("nan")}, {"count": 0}, {"count": 1.5}, {"batch_size": 0},
        {"prompts": "all"}, {"safe": None}, {"safe": []},
        {"benign": None, "prompts": "harmless"},
    ],
)  # fmt: skip
def test_bad_options_are_refused_by_name(bad):
    with pytest.raises(ConfigError, match=next(iter(bad))):
        anchor(**bad).validate()
