"""How far a model keeps another's answers; the oracle is transformers' loss, and generation."""

import math

import pytest
import torch
from tokenizers.processors import TemplateProcessing

from holdfast.data.chat import encode_prompt
from holdfast.errors import DataError
from holdfast.evaluation import Item, evaluate, generate
from holdfast.evaluation.fidelity import Kept, kept_answers, perplexity
from holdfast.evaluation.judges import RefusalPhrases
from holdfast.results.records import Arm, SeedRun
from tests.tiny import SPECIAL, tiny_model, tiny_tokenizer

QUESTIONS = ("what is 1 plus 2", "tell me the answer", "how to make a zorba please", "no")


def peaked(factor=8):
    """A tiny model whose logits are far enough apart that rounding cannot change an argmax."""
    model = tiny_model("llama")
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.mul_(factor)
    return model


def items(answers, kind="useful"):
    asked = [[{"role": "user", "content": question}] for question in QUESTIONS]
    pairs = zip(asked, answers, strict=True)
    return [Item(f"{kind}-{n}", kind, one, said) for n, (one, said) in enumerate(pairs)]


@pytest.fixture(scope="module")
def own():
    """A model, and questions with its own greedy answers."""
    model, tokenizer = peaked(), tiny_tokenizer()
    prompts = [item.prompt for item in items([None] * 4)]
    with torch.no_grad():  # Never a special token: texts leave them out.
        model.lm_head.weight[: len(SPECIAL)] = 0
    answers = generate(model, tokenizer, prompts, max_new_tokens=8)
    assert [len(answer.split()) for answer in answers] == [8] * 4
    assert len(set(answers)) > 2
    return model, tokenizer, items(answers)


def test_a_model_keeps_all_of_its_own_answers_and_another_does_not(own):
    model, tokenizer, asked = own
    found = kept_answers(model, tokenizer, asked)
    assert [one.share for one in found.values()] == [1.0] * 4
    assert list(found) == [item.id for item in asked]
    other = kept_answers(peaked(9), tokenizer, items([item.reference[::-1] for item in asked]))
    assert sum(one.share for one in other.values()) < 2


def test_an_answer_is_its_own_tokens_and_none_that_a_tokenizer_adds(own):
    """A tokenizer that begins each text with a token of its own would have it asked for too."""
    model, _, asked = own
    begins = tiny_tokenizer()
    begins.backend_tokenizer.post_processor = TemplateProcessing(
        single="<s> $A", special_tokens=[("<s>", 1)]
    )
    assert begins("1 2")["input_ids"][0] == 1
    found = kept_answers(model, begins, asked)
    assert [(one.tokens, one.share) for one in found.values()] == [(8, 1.0)] * 4


def test_loss_is_transformers_own_and_batches_change_nothing(own):
    _, tokenizer, asked = own
    tuned = peaked(6)
    one_by_one = {}
    for item in asked:
        head = encode_prompt(item.prompt, tokenizer)
        said = tokenizer(item.reference, add_special_tokens=False)["input_ids"]
        ids, labels = torch.tensor([head + said]), torch.tensor([[-100] * len(head) + said])
        with torch.no_grad():
            one_by_one[item.id] = (len(said), float(tuned.eval()(ids, labels=labels).loss))
    for size in (1, 3):
        found = kept_answers(tuned, tokenizer, asked, batch_size=size)
        for name, (tokens, loss) in one_by_one.items():
            assert found[name].tokens == tokens
            assert found[name].nll == pytest.approx(loss, rel=1e-5)
    tokens, losses = zip(*one_by_one.values(), strict=True)
    mean = sum(n * loss for n, loss in zip(tokens, losses, strict=True)) / sum(tokens)
    assert perplexity(found.values()) == pytest.approx(math.exp(mean), rel=1e-5)


def test_perplexity_of_nothing_and_of_what_no_float_holds():
    assert math.isnan(perplexity([]))
    assert perplexity([Kept(1, 0.0, 1e4)]) == math.inf


def test_it_leaves_the_model_as_it_was(own):
    model, tokenizer, asked = own
    model.train()
    kept_answers(model, tokenizer, asked)
    assert model.training
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(("said", "wrong"), [(None, "has no answer"), (" ", "has no token")])
def test_a_question_without_an_answer_is_named(own, said, wrong):
    model, tokenizer, _ = own
    with pytest.raises(DataError, match=f"question useful-1.*{wrong}"):
        kept_answers(model, tokenizer, items(["a", said, "a", "a"]))


def test_usefulness_of_a_run_is_the_mean_share_and_no_judges_word(own):
    model, tokenizer, asked = own
    judges = [RefusalPhrases(), RefusalPhrases()]
    questions = [*items([None] * 4, "harmful"), *asked]
    measured = evaluate(model, tokenizer, questions, judges, max_new_tokens=8)
    assert measured.with_kept({}).shares["usefulness"].value in (0, 0.25, 0.5, 0.75, 1)
    kept = {
        item.id: Kept(4, share, 0.5) for item, share in zip(asked, (0.25, 1, 0.5, 1), strict=True)
    }
    found = measured.with_kept(kept)
    assert found.shares["usefulness"].value == pytest.approx(0.6875)
    run = SeedRun.model_validate_json(SeedRun.of(0, found).model_dump_json())
    assert run.perplexity == pytest.approx(math.exp(0.5))
    assert run.hits("usefulness") == {name: one.share for name, one in kept.items()}
    assert run.hits("hs") == measured.hits("hs")
    assert "usefulness" not in run.readings[0].shares
    assert "hs" in run.readings[0].shares
    other = SeedRun.of(0, measured.with_kept({name: Kept(4, 0.5, 1.0) for name in kept}))
    arm, plain = Arm.of("a", [run]), Arm.of("none", [other])
    difference = arm.compared_with(plain).versus_plain["usefulness"]
    assert difference.value == pytest.approx(0.1875)
    assert difference.p_values == ()
    assert len(arm.compared_with(plain).versus_plain["hs"].p_values) == 1
