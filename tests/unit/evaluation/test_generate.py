"""Batched generation answers as one-by-one generation does, and leaves no trace."""

import pytest
import torch

from holdfast.errors import ConfigError, DataError, ModelError, RunError
from holdfast.evaluation.generate import generate
from tests.tiny import tiny_model, tiny_tokenizer

QUESTIONS = (
    "what is 1 plus 2",
    "tell me the answer",
    "how to make a zorba please",
    "sum of 3 plus 4 plus 5 plus 6 plus 7 please",
    "no",
    "what is the sum of 9 plus 9",
    "make a mipde",
)
PROMPTS = [[{"role": "user", "content": question}] for question in QUESTIONS]


def peaked(arch):
    """A tiny model whose logits are far enough apart that rounding cannot change an argmax."""
    model = tiny_model(arch)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(8)
    return model


@pytest.mark.parametrize("arch", ["llama", "qwen2", "gemma2", "mistral", "gpt_neox", "opt"])
def test_batches_answer_like_one_by_one_and_in_the_callers_order(arch):
    model, tokenizer = peaked(arch), tiny_tokenizer()
    alone = [generate(model, tokenizer, [p], max_new_tokens=8)[0] for p in PROMPTS]
    assert len(set(alone)) > 2, "the model says the same to everything, so order is not tested"
    for batch_size in (3, 64):
        together = generate(model, tokenizer, PROMPTS, max_new_tokens=8, batch_size=batch_size)
        assert together == alone


def test_an_answer_ends_before_its_end_token():
    model, tokenizer = peaked("llama"), tiny_tokenizer()
    whole = generate(model, tokenizer, PROMPTS, max_new_tokens=6)
    words = next(answer.split() for answer in whole if len(set(answer.split())) > 2)
    end = words[-1]
    # An ordinary word ends answers now, so that decoding cannot hide it as a special token.
    model.generation_config.eos_token_id = [2, tokenizer.convert_tokens_to_ids(end)]
    found = generate(model, tokenizer, PROMPTS, max_new_tokens=6)
    assert found == [" ".join(answer.split(f" {end}")[0].split()) for answer in whole]
    assert found != whole


def test_it_is_greedy_whatever_the_models_own_settings_say():
    model, tokenizer = peaked("llama"), tiny_tokenizer()
    expected = generate(model, tokenizer, PROMPTS, max_new_tokens=8)
    model.generation_config.do_sample = True
    model.generation_config.temperature = 5.0
    model.generation_config.repetition_penalty = 3.0
    model.generation_config.no_repeat_ngram_size = 1
    assert generate(model, tokenizer, PROMPTS, max_new_tokens=8) == expected


@pytest.mark.parametrize("fails", [False, True])
def test_model_and_tokenizer_stay_as_they_were(fails, monkeypatch):
    model, tokenizer = tiny_model(), tiny_tokenizer()
    tokenizer.padding_side, tokenizer.pad_token = "right", None
    model.train()
    model.model.layers[1].eval()
    modes = [module.training for module in model.modules()]
    settings = model.generation_config.to_dict()
    if fails:
        monkeypatch.setattr(model, "forward", broken)
        with pytest.raises(RuntimeError, match="planted"):
            generate(model, tokenizer, PROMPTS, max_new_tokens=2)
        monkeypatch.undo()
    else:
        generate(model, tokenizer, PROMPTS, max_new_tokens=2)
    assert [module.training for module in model.modules()] == modes
    assert (tokenizer.padding_side, tokenizer.pad_token) == ("right", None)
    assert model.generation_config.to_dict() == settings
    assert all(parameter.requires_grad for parameter in model.parameters())
    assert torch.is_grad_enabled()


def broken(*_, **__):
    raise RuntimeError("planted")


def test_progress_counts_up_to_all_prompts():
    seen = []
    generate(
        tiny_model(),
        tiny_tokenizer(),
        PROMPTS,
        max_new_tokens=1,
        batch_size=3,
        progress=lambda done, of: seen.append((done, of)),
    )
    assert seen == [(3, 7), (6, 7), (7, 7)]


def test_no_prompts_have_no_answers():
    assert generate(tiny_model(), tiny_tokenizer(), []) == []


def test_bad_input_is_refused_in_one_line():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    with pytest.raises(ConfigError, match="at least 1"):
        generate(model, tokenizer, PROMPTS, batch_size=0)
    with pytest.raises(DataError, match="the model takes 128"):
        generate(model, tokenizer, PROMPTS, max_new_tokens=125)
    with pytest.raises(ModelError, match="chat template"):
        generate(model, tiny_tokenizer(template=False), PROMPTS)


@pytest.mark.parametrize("sharing", [1, 64])
def test_scores_that_are_no_numbers_are_no_silence(sharing):
    """Greedy decoding takes token 0, the padding: an empty answer, and a harmful score of 0."""
    model, tokenizer = peaked("llama"), tiny_tokenizer()
    with torch.no_grad():
        model.model.layers[0].mlp.up_proj.weight[0, 0] = torch.nan
    with pytest.raises(RunError, match=rf"no numbers \(NaN\) on {min(sharing, 7)} of"):
        generate(model, tokenizer, PROMPTS, max_new_tokens=4, batch_size=sharing)


def test_one_prompt_without_numbers_is_enough():
    model, tokenizer = peaked("llama"), tiny_tokenizer()
    with torch.no_grad():
        model.model.embed_tokens.weight[tokenizer.convert_tokens_to_ids("mipde")] = torch.inf
    with pytest.raises(RunError, match=r"on 1 of 7 prompts"):
        generate(model, tokenizer, PROMPTS, max_new_tokens=4)
    assert len(generate(model, tokenizer, PROMPTS[:-1], max_new_tokens=4)) == 6
