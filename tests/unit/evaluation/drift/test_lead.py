"""The lead: cached, uncached and differentiable are one number, and nothing of the model moves."""

import pytest
import torch
from transformers import PreTrainedModel

from holdfast.data.chat import encode_prompt
from holdfast.errors import DataError
from holdfast.evaluation.drift import (
    Openings,
    lead,
    lead_batches,
    opening_scores,
    probe_ids,
    probe_loss,
    uncached_scores,
)
from tests.tiny import CONFIGS, tiny_model, tiny_tokenizer

PROMPTS = [[1, 5, 9, 10, 6], [1, 5, 11, 12, 13, 14, 15, 6], [1, 5, 20, 6], [1, 5, 9, 33, 6]]
OPENINGS = Openings(((40, 41, 42, 43), (41, 44)), ((30,), (31, 32, 33, 34, 35, 36)))


def by_hand(model: PreTrainedModel, prompt: list[int], opening: tuple[int, ...]) -> float:
    """One row, no padding, no cache: the model's own loss over the opening."""
    ids = torch.tensor([[*prompt, *opening]])
    labels = torch.tensor([[-100] * len(prompt) + list(opening)])
    with torch.no_grad():
        return -float(model(input_ids=ids, labels=labels).loss)


@pytest.mark.parametrize("arch", sorted(CONFIGS))
@pytest.mark.parametrize("size", [1, 64])
def test_cached_and_uncached_scores_are_the_models_own_loss(arch: str, size: int) -> None:
    model = tiny_model(arch)
    wanted = torch.tensor([[by_hand(model, p, o) for o in OPENINGS.every] for p in PROMPTS])
    torch.testing.assert_close(
        opening_scores(model, PROMPTS, OPENINGS.every, batch_size=size),
        wanted,
        atol=2e-6,
        rtol=2e-6,
    )
    torch.testing.assert_close(
        uncached_scores(model, PROMPTS, OPENINGS.every), wanted, atol=2e-6, rtol=2e-6
    )


def test_the_lead_is_refusals_less_agreements_and_its_gradient_form_has_the_same_mean() -> None:
    model = tiny_model()
    wanted = [
        sum(by_hand(model, p, r) for r in OPENINGS.refusals) / 2
        - sum(by_hand(model, p, a) for a in OPENINGS.agreements) / 2
        for p in PROMPTS
    ]
    found = lead(model, PROMPTS, OPENINGS)
    torch.testing.assert_close(found, torch.tensor(wanted), atol=5e-6, rtol=5e-6)
    batches = lead_batches(PROMPTS, OPENINGS, size=3)
    mean = sum(probe_loss(model, batch) for batch in batches)
    assert isinstance(mean, torch.Tensor)
    torch.testing.assert_close(mean, found.mean(), atol=5e-6, rtol=5e-6)
    mean.backward()
    assert all(p.grad is not None for p in model.parameters())


def test_a_step_along_the_gradient_raises_the_lead() -> None:
    model = tiny_model()
    before = lead(model, PROMPTS, OPENINGS).mean()
    for batch in lead_batches(PROMPTS, OPENINGS):
        probe_loss(model, batch).backward()
    with torch.no_grad():
        for p in model.parameters():
            assert p.grad is not None
            p.add_(0.05 * p.grad)
    assert lead(model, PROMPTS, OPENINGS).mean() > before


def test_measuring_leaves_modes_gradients_and_randomness_alone() -> None:
    model = tiny_model().train()
    model.lm_head.eval()
    state = torch.random.get_rng_state()
    lead(model, PROMPTS, OPENINGS)
    assert torch.equal(state, torch.random.get_rng_state())
    assert model.training
    assert not model.lm_head.training
    assert all(p.grad is None for p in model.parameters())


def test_openings_that_measure_nothing_are_refused() -> None:
    with pytest.raises(DataError, match="`refusals` needs"):
        Openings((), ((1,),))
    with pytest.raises(DataError, match="`agreements` needs"):
        Openings(((1,),), ((),))
    with pytest.raises(DataError, match="a refusal and an agreement"):
        Openings(((1, 2),), ((1, 2),))
    with pytest.raises(DataError, match="lists of token ids"):
        Openings.of_json({"refusals": [[1]]})
    with pytest.raises(DataError, match="`prompts`"):
        lead(tiny_model(), [], OPENINGS)


def test_openings_come_back_from_json_with_the_same_hash() -> None:
    again = Openings.of_json(OPENINGS.as_json())
    assert again == OPENINGS
    assert again.sha256 == OPENINGS.sha256
    assert Openings(OPENINGS.refusals, ((30,),)).sha256 != OPENINGS.sha256


def test_a_plain_template_is_probed_right_behind_the_prompt() -> None:
    tokenizer = tiny_tokenizer()
    messages = [{"role": "user", "content": "what is 1"}]
    assert probe_ids(messages, tokenizer) == encode_prompt(messages, tokenizer)


@pytest.mark.parametrize("opened", [" <think>", ""])
def test_a_template_that_thinks_is_probed_behind_the_closed_block(opened: str) -> None:
    tokenizer = tiny_tokenizer()
    tokenizer.add_tokens(["<think>", "</think>"])
    block = "{% if m['role'] == 'assistant' %} <think> </think>{% endif %}" if not opened else ""
    tokenizer.chat_template = (
        "<s>{% for m in messages %} <{{ m['role'] }}>" + block + " {{ m['content'] }} <end>"
        "{% endfor %}{% if add_generation_prompt %} <assistant>" + opened + "{% endif %}"
    )
    ids = probe_ids([{"role": "user", "content": "what is 1"}], tokenizer)
    words = tokenizer.convert_ids_to_tokens(ids)
    assert words[-2:] == ["<think>", "</think>"]
