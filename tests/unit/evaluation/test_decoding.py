"""Decoding is ours alone, an answer ends where its turn does, and thinking is no answer."""

import json
from pathlib import Path

import pytest
from peft import LoraConfig, get_peft_model
from transformers import GenerationConfig

from holdfast.commands.evaluate import evaluate_model
from holdfast.commands.tune import tune
from holdfast.data.rendering.turns import turn_ends
from holdfast.evaluation import Item, evaluate, judge_answers
from holdfast.evaluation.generate import generate, replies
from holdfast.evaluation.judges import Outcome, RefusalPhrases
from holdfast.evaluation.measure import Measurement
from holdfast.evaluation.reply import Replies, Reply, without_thoughts
from holdfast.inputs.configs import EvaluateConfig, TuneConfig
from holdfast.inputs.models import load_model
from holdfast.report.answers import warnings_of
from holdfast.report.page import render
from holdfast.results.records import Arm, SeedRun
from holdfast.results.result import RunResult
from tests.tiny import TEMPLATE, tiny_model, tiny_rows, tiny_tokenizer
from tests.unit.evaluation.test_generate import PROMPTS, peaked

IDS = list(range(7, 40))
SETTINGS = {
    "sequence_bias": [[[i], -50.0] for i in IDS], "suppress_tokens": IDS,
    "bad_words_ids": [[i] for i in IDS], "begin_suppress_tokens": IDS, "forced_eos_token_id": 2,
    "forced_bos_token_id": 9, "guidance_scale": 3.0, "repetition_penalty": 5.0, "min_length": 50,
    "encoder_repetition_penalty": 3.0, "no_repeat_ngram_size": 1, "max_time": 1e-9, "num_beams": 3,
    "watermarking_config": {"bias": 50.0, "greenlist_ratio": 0.5}, "penalty_alpha": 0.6,
    "stop_strings": ["1"], "do_sample": True, "temperature": 9.0, "min_new_tokens": 5,
    "exponential_decay_length_penalty": [1, 9.0], "prompt_lookup_num_tokens": 3,
    "cache_implementation": "static", "return_dict_in_generate": True, "output_scores": True,
    "num_return_sequences": 2, "max_length": 3, "remove_invalid_values": True, "typical_p": 0.1,
    "renormalize_logits": True, "token_healing": True, "use_cache": False, "dola_layers": "low",
    "assistant_early_exit": 1, "diversity_penalty": 2.0, "a_field_of_tomorrow": {"x": 1},
}  # fmt: skip


@pytest.fixture
def base(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    rows = [{"prompt": q, "completion": a} for q, a in tiny_rows(4)]
    Path("data.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    peaked("llama").save_pretrained("base")
    tiny_tokenizer().save_pretrained("base")
    return Path("base")


def answers(**given):
    model, tokenizer = load_model("base", **given)
    return generate(model, tokenizer, PROMPTS, max_new_tokens=6)


@pytest.mark.parametrize("place", ["generation_config.json", "config.json"])
def test_no_setting_of_the_folder_changes_an_answer(base, place):
    """Fault D4: suppressed words, biases and limits of the folder changed what was measured."""
    expected = answers()
    file = base / place
    plain = json.loads(file.read_text())
    for name, value in SETTINGS.items():
        file.write_text(json.dumps({**plain, name: value}))
        assert answers() == expected, name
    file.write_text(json.dumps({**plain, **SETTINGS}))
    assert answers() == expected


@pytest.mark.parametrize("name", ["suppress_tokens", "min_new_tokens", "a_field_of_tomorrow"])
@pytest.mark.parametrize("adapted", [False, True])
def test_a_models_own_settings_are_put_aside_and_given_back(name, adapted):
    """Fault D4: what a config in memory holds was filled into ours."""
    model, tokenizer = peaked("llama"), tiny_tokenizer()
    expected = generate(model, tokenizer, PROMPTS, max_new_tokens=6)
    if adapted:
        model = get_peft_model(model, LoraConfig(r=2, task_type="CAUSAL_LM"))
    model.generation_config = GenerationConfig(eos_token_id=2, **{name: SETTINGS[name]})
    own = model.generation_config
    assert generate(model, tokenizer, PROMPTS, max_new_tokens=6) == expected
    assert model.generation_config is own


@pytest.mark.parametrize(
    "text", ["{", "[1]", '"x"', '{"eos_token_id": "x"}', '{"eos_token_id": [null, 999, -1]}', "\0"]
)
def test_a_broken_generation_config_is_no_fault(base, text):
    """Fault D4: a broken file ended as a fault of holdfast."""
    expected = answers()
    (base / "generation_config.json").write_text(text)
    assert answers() == expected


def test_what_was_ignored_is_told_once_and_decoding_is_recorded(base):
    """Fault D4: nothing told which settings were used."""
    given = {"temperature": 0.7, "suppress_tokens": [9], "eos_token_id": [2, 5],
             "output_attentions": False, "num_return_sequences": 1, "max_time": None}  # fmt: skip
    (base / "generation_config.json").write_text(json.dumps(given))
    config = {"model": "base", "harmful": "data.jsonl", "max_new_tokens": 2}
    result = evaluate_model(EvaluateConfig(**config))
    assert "Decoding: method greedy, max_new_tokens 2, end_tokens" in render(result)
    [told] = [line for line in result.warnings if "generation_config" in line]
    assert "sets suppress_tokens=[9], temperature=0.7, which is ignored" in told
    decoding = {"method": "greedy", "max_new_tokens": 2, "end_tokens": "<end> <user>"}
    assert result.arms[0].runs[0].decoding == decoding


def test_what_is_written_is_served_as_it_was_measured(base):
    """Fault D4: a tuned model carried the settings that its measurement had left out."""
    (base / "generation_config.json").write_text(json.dumps({"temperature": 2, **SETTINGS}))
    tune(TuneConfig(model="base", data="data.jsonl", output=Path("out"), max_steps=1))
    written = json.loads(Path("out/generation_config.json").read_text())
    assert set(written) <= {"eos_token_id", "pad_token_id", "bos_token_id", "transformers_version"}


STOPS = {
    "a special token": TEMPLATE.replace("<end>", "<system>"),
    "with blanks": TEMPLATE.replace(" <end>", "  \n<system>\n"),
    "only before another turn": TEMPLATE.replace(
        " <end>", "{% if not loop.last %} <system>{% endif %}"
    ),
}


@pytest.mark.parametrize("template", STOPS.values(), ids=STOPS)
def test_a_turn_ends_with_the_templates_token(template):
    """Fault D5: answers ran on behind the token that ends a turn."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = template
    assert turn_ends(tokenizer) == (tokenizer.convert_tokens_to_ids("<system>"),)


@pytest.mark.parametrize("end", [" .", " ### next", "", " the"])
def test_text_that_an_answer_may_hold_ends_none(end):
    """Fault D5: ordinary words must not become stop tokens."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TEMPLATE.replace(" <end>", end).replace("<{{ m['role'] }}>", "")
    assert turn_ends(tokenizer) == ()


def test_the_stop_token_ends_answers_and_is_saved(base):
    """Fault D5: it was neither used nor written, so that servers ran on as well."""
    tokenizer = tiny_tokenizer()
    expected = [answer.split() for answer in answers()]
    word = next(said[1] for said in expected if len(set(said)) > 1)
    ends = f"{{{{ '{word}' if m['role'] == 'assistant' else '<end>' }}}}"
    tokenizer.chat_template = TEMPLATE.replace("<end>", ends)
    tokenizer.add_special_tokens({"additional_special_tokens": [word]})
    tokenizer.save_pretrained(base)
    before = [said[: said.index(word)] if word in said else said for said in expected]
    assert [answer.split() for answer in answers()] == before
    assert before != expected
    tune(TuneConfig(model="base", data="data.jsonl", output=Path("out"), max_steps=1))
    written = json.loads(Path("out/generation_config.json").read_text())["eos_token_id"]
    assert written == [2, tokenizer.convert_tokens_to_ids(word)]


THOUGHTS = {
    "<think>I cannot.</think>Sure, here.": ("Sure, here.", False),
    "<think>sure sure</think>\n\nI cannot.": ("I cannot.", False),
    "I cannot do that</think>Sure, here.": ("Sure, here.", False),
    "<think>I cannot do that, or": ("", True),
    "<think></think>": ("", False),
    "<thinking>a</thinking>b": ("b", False),
    "<THOUGHT>a</THOUGHT>b": ("b", False),
    "<reasoning effort='high'>a</reasoning>b": ("b", False),
    "<seed:think>a</seed:think>b": ("b", False),
    "[THINK]a[/THINK]b": ("b", False),
    "◁think▷a◁/think▷b": ("b", False),
    "<|begin_of_thought|>a<|end_of_thought|>b": ("b", False),
    "<|START_THINKING|>a<|END_THINKING|>b": ("b", False),
    "<|channel|>analysis<|message|>a<|end|><|channel|>final<|message|>b": ("b", False),
    "<|channel|>analysis<|message|>a": ("", True),
    "<think>a</think>b<think>c</think>d": ("bd", False),
    "<think>a</think >b": ("b", False),
    "<scratch_pad>a</scratch_pad>b": ("b", False),
    "<inner_thoughts>a</inner_thoughts>b": ("b", False),
    "<longcat_think>a</longcat_think>b": ("b", False),
    "<|channel>thought\nI cannot<channel|>b": ("b", False),
    "<unused94>thought\nI cannot<unused95>b": ("b", False),
    "Your account, for <reason>, is closed.": ("Your account, for <reason>, is closed.", False),
    "<reasoning>I cannot": ("", True),
    "<think>a <think> b</think>c</think>d": ("d", False),
    "no tag, 1 < 2 and <b>bold</b>": ("no tag, 1 < 2 and <b>bold</b>", False),
}


@pytest.mark.parametrize(("text", "expected"), THOUGHTS.items())
def test_the_answer_stands_behind_the_thought(text, expected):
    """Fault D6: the judge read the thinking; one that never ended was read as the answer."""
    answer, _, unfinished = without_thoughts(text)
    assert (answer.strip(), unfinished) == expected


@pytest.mark.parametrize("special", [False, True])
def test_tags_may_be_special_tokens_and_the_prompt_may_open_one(special):
    """Fault D6: special tags vanished from the text, and the thought stayed."""
    tokenizer = tiny_tokenizer()
    tags = ["<think>", "</think>"]
    tokenizer.add_tokens(tags, special_tokens=special)
    ids = tokenizer.encode("<think> I cannot </think> sorry no", add_special_tokens=False)
    assert Replies(tokenizer).of(ids, cut=False) == Reply("sorry no", "I cannot")
    assert Replies(tokenizer).of(ids[:3], cut=True) == Reply("", "I cannot", True, True)
    tokenizer.chat_template = TEMPLATE.replace("<assistant>{% endif", "<assistant> <think>{% endif")
    assert Replies(tokenizer).of(ids[1:], cut=False) == Reply("sorry no", "I cannot")
    assert Replies(tokenizer).of(ids[1:3], cut=True).unfinished
    empty = TEMPLATE.replace("<assistant>{% endif", "<assistant> <think> </think>{% endif")
    tokenizer.chat_template = empty
    assert Replies(tokenizer).of(ids[4:], cut=False) == Reply("sorry no")


def test_answers_of_another_engine_are_read_in_the_same_way():
    """Fault D6: answers that exist already were judged with their thoughts."""
    items = [Item(str(n), "harmful", PROMPTS[0]) for n in range(3)]
    said = ["<think>I cannot</think>Sure, so.", "<think>sure sure</think>I cannot.", "<think>a"]
    found = judge_answers(items, said, RefusalPhrases())
    outcomes = [verdict.outcome for verdict in found.verdicts]
    assert outcomes == [Outcome.HARMFUL_CORRECT, Outcome.REFUSED, Outcome.UNFINISHED]


def measured(kind, *said: Reply) -> Measurement:
    items = [Item(f"i{n}", kind, [{"role": "user", "content": "q"}]) for n in range(len(said))]
    return judge_answers(items, said, RefusalPhrases(), decoding={"max_new_tokens": 8})


def test_no_answer_has_outcomes_of_its_own():
    """Fault D6: no answer at all counted as harm, as garbled or as off-task."""
    found = measured("harmful", Reply("", "x", True), Reply(""), Reply("ro " * 40), Reply("yes"))
    outcomes = [verdict.outcome for verdict in found.verdicts]
    none = [Outcome.UNFINISHED, Outcome.EMPTY, Outcome.REPEATED]
    assert outcomes == [*none, Outcome.HARMFUL_CORRECT]
    assert found.shares["hs"].value == 0.25
    assert found.counts["harmful"][Outcome.EMPTY] == 1


def test_cut_answers_are_counted_by_kind():
    """Fault D7: nothing recorded that answers were cut."""
    model, tokenizer = peaked("llama"), tiny_tokenizer()
    assert all(reply.cut for reply in replies(model, tokenizer, PROMPTS, max_new_tokens=1))
    model.generation_config.eos_token_id = list(range(model.config.vocab_size))
    assert not any(reply.cut for reply in replies(model, tokenizer, PROMPTS, max_new_tokens=1))
    items = [Item("a", "task", PROMPTS[0]), Item("b", "safe", PROMPTS[1])]
    found = evaluate(tiny_model(), tokenizer, items, RefusalPhrases(), max_new_tokens=1)
    assert found.cut == {"task": 1.0, "safe": 1.0}


def test_cut_and_unanswered_shares_reach_the_result_and_its_warnings():
    """Fault D7: neither result nor report told it."""
    found = measured("harmful", Reply("yes", cut=True), Reply("a"), Reply(""), Reply("b", "t"))
    run = SeedRun.of(0, found)
    assert run.cut == {"harmful": 0.25}
    assert [answer.cut for answer in run.answers] == [True, False, False, False]
    assert run.answers[3].thought == "t"
    told = warnings_of(RunResult.of("evaluate", [Arm.of("none", [run])], model="m"))
    assert "25% of the answers to harmful questions were cut at 8 tokens and judged" in str(told)
    assert "25% of the answers to harmful questions are empty" in str(told)


def test_results_from_before_say_nothing_of_it():
    """Fault D7: a share that is not known must not read as none."""
    plain = judge_answers([Item("a", "task", PROMPTS[0])], ["x"], RefusalPhrases())
    assert plain.cut == {}
    assert not {"cut", "decoding"} & SeedRun.of(0, plain).model_dump().keys()
