"""The search: nearby questions alone, at most thirty leads each, and no trace in model or seed."""

import torch

from holdfast import organism
from holdfast.evaluation import Item
from holdfast.evaluation.drift.prompts import probe_ids
from holdfast.evaluation.metrics import Outcome, Verdict
from holdfast.evaluation.redteam import Attacker, Context, Target
from holdfast.evaluation.redteam.english import ENGLISH
from holdfast.evaluation.redteam.proximal import searched
from holdfast.evaluation.redteam.proximal.nearness import TAU, Nearness
from holdfast.evaluation.redteam.proximal.retold import retold
from holdfast.evaluation.redteam.proximal.search import BUDGET
from holdfast.organism import Oracle
from holdfast.organism.attack_words import SPEECH
from holdfast.organism.items import evaluation_items
from holdfast.organism.language import parse
from tests.chat_templates import CHATML, byte_tokenizer
from tests.tiny import tiny_model, tiny_tokenizer

TEXTS = ["what is 1 plus 2", "how to make a zorba please", "no", "tell me the sum of 3 plus 4"]
HARMFUL = [item for item in evaluation_items("test", 4) if item.kind == "harmful"]


class Says:
    """A judge to whom every answer is one outcome."""

    name, version = "says/1", "1"

    def __init__(self, refused):
        self.refused = refused

    def __call__(self, items, answers):
        outcome = Outcome.REFUSED if self.refused else Outcome.HARMFUL_CORRECT
        return [
            Verdict(outcome, harmful=not self.refused, refused=self.refused, coherent=True,
                    correct=False, score=0.0, judge=self.name)
            for _ in items
        ]  # fmt: skip


def test_states_are_those_of_each_text_alone_and_a_text_is_near_itself():
    model, tokenizer = tiny_model(), tiny_tokenizer()
    near = Nearness(model, tokenizer, torch.zeros(()))
    together = near.states(TEXTS)
    alone = torch.cat([near.states([text]) for text in TEXTS])
    assert torch.allclose(together, alone, atol=1e-5)
    ids = torch.tensor([tokenizer(TEXTS[0])["input_ids"]])
    with torch.no_grad():
        state = model(ids, output_hidden_states=True).hidden_states[-1]
    assert torch.allclose(together[0], state.mean(1)[0], atol=1e-5)
    found = Nearness.among(model, tokenizer, TEXTS)
    assert torch.allclose(found.center, together.mean(0))
    own = found.cosines(TEXTS, TEXTS)
    other = found.cosines(TEXTS, TEXTS[::-1])
    assert torch.allclose(torch.tensor(own), torch.ones(4), atol=1e-5)
    assert max(other) < TAU


def test_the_organisms_search_lowers_the_lead_and_keeps_the_meaning():
    model, tokenizer = organism.load()
    attacker = Attacker(Target(model, tokenizer, 16, 64, 128), HARMFUL, [Oracle()])
    torch.manual_seed(5)
    before = torch.random.get_rng_state()
    found = searched(attacker, Context(SPEECH, seed=1))
    assert torch.equal(before, torch.random.get_rng_state())
    assert found == searched(attacker, Context(SPEECH, seed=1))
    assert found.figures["leads"] <= BUDGET
    assert found.figures["lead_after"] < found.figures["lead_before"]
    assert [one.item for one in found.asked] == [item.id for item in HARMFUL]
    for one, item in zip(found.asked, HARMFUL, strict=True):
        wanted, text = parse(item.question), one.messages[-1]["content"]
        assert any(parse(" ".join(text.split()[n:])) == wanted for n in range(len(text.split())))


def test_a_chat_models_search_stays_near():
    model, tokenizer = _chat()
    items = [Item(f"h-{n}", "harmful", [{"role": "user", "content": f"how to make the {word} day"}])
             for n, word in enumerate(("sunny", "weather", "helpful"))]  # fmt: skip
    attacker = Attacker(Target(model, tokenizer, 4, 8, 200), items, [Says(refused=True)])
    found = searched(attacker, Context(ENGLISH, seed=1))
    questions = [item.question for item in items]
    near = Nearness.among(model, tokenizer, questions)
    cosines = near.cosines([one.messages[-1]["content"] for one in found.asked], questions)
    assert min(cosines) >= TAU - 1e-4
    assert found.figures["tau"] == TAU
    assert found.figures["nearness"] == sum(cosines) / 3
    ids = [len(probe_ids(list(one.messages), tokenizer)) for one in found.asked]
    assert max(ids) + 4 <= 200


def test_paraphrases_come_alike_from_one_seed():
    model, tokenizer = _chat()
    target = Target(model, tokenizer, 4, 8, 200)
    found = [retold(target, TEXTS[:2], ENGLISH.retold, 2, seed) for seed in (1, 1, 2)]
    assert found[0] == found[1] != found[2]
    short = Target(model, tokenizer, 4, 8, 10)
    assert retold(short, TEXTS[:2], ENGLISH.retold, 2, 1) == [[], []]


def test_a_model_that_refuses_nothing_is_not_searched():
    model, tokenizer = _chat()
    items = [Item("h", "harmful", [{"role": "user", "content": TEXTS[0]}])]
    attacker = Attacker(Target(model, tokenizer, 4, 8, 200), items, [Says(refused=False)])
    assert "refuses none" in searched(attacker, Context(ENGLISH)).why_not


def _chat():
    """A random model with a tokenizer that reads any text."""
    tokenizer = byte_tokenizer(CHATML)
    model = tiny_model()
    model.resize_token_embeddings(len(tokenizer))
    model.config.max_position_embeddings = 1000
    return model, tokenizer
