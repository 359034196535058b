"""``tune`` on conversations: every turn of the assistant reaches the optimizer, and only they."""

import json
from pathlib import Path

import pytest
import torch
from datasets import Dataset
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, set_seed
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from holdfast.cli import main
from holdfast.results.result import RunResult
from tests.tiny import tiny_model, tiny_tokenizer

TAGGED = (
    "<s>{% for m in messages %}{% if m['role'] == 'assistant' %}{{ ' <assistant> ' }}"
    "{% generation %}{{ m['content'] + ' <end>' }}{% endgeneration %}{% else %}"
    "{{ ' <' + m['role'] + '> ' + m['content'] + ' <end>' }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ ' <assistant>' }}{% endif %}"
)
RUN = ["tune", "--model", "model", "--data", "talks.jsonl", "--batch-size", "4", "--max-steps",
       "4", "--learning-rate", "0.01", "--seed", "3", "--overwrite"]  # fmt: skip


def talk(n: int) -> list[dict[str, str]]:
    said = [("user", f"what is {n} plus 1"), ("assistant", str(n + 1)), ("user", "please tell me"),
            ("assistant", f"the sum is {n + 1}")]  # fmt: skip
    return [{"role": role, "content": text} for role, text in said]


@pytest.fixture
def folder(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TAGGED
    tiny_model().save_pretrained("model")
    tokenizer.save_pretrained("model")
    rows = [{"messages": talk(n)} for n in range(8)]
    Path("talks.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return tmp_path


def weights(name: str, *more: str) -> dict[str, torch.Tensor]:
    assert main([*RUN, "--output", name, *more]) == 0
    return load_file(f"{name}/model.safetensors")


def of_trl() -> dict[str, torch.Tensor]:
    """TRL's own run on the conversations, with its own masks of the template's tags."""
    tokenizer = tiny_tokenizer()
    tokenizer.chat_template = TAGGED
    args = SFTConfig(
        output_dir="trl", report_to="none", use_cpu=True, bf16=False, seed=3, max_steps=4,
        learning_rate=0.01, per_device_train_batch_size=4, assistant_only_loss=True,
        dataloader_pin_memory=False, max_length=128, logging_steps=1, save_strategy="no",
    )  # fmt: skip
    set_seed(3)
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained("model", dtype=torch.float32), args=args,
        train_dataset=Dataset.from_list([{"messages": talk(n)} for n in range(8)]),
        processing_class=tokenizer,
    )  # fmt: skip
    trainer.train()
    return dict(trainer.model.state_dict())


def test_all_turns_are_trained_as_trl_trains_them_by_its_own_masks(folder):
    """Fault D12: earlier turns were not trained on, even with assistant_only_loss, silently."""
    ours, theirs = weights("all"), of_trl()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in ours.items())


def test_the_last_turn_alone_is_another_run(folder):
    last = weights("last", "--turns", "last")
    rows = [{"prompt": talk(n)[:3], "completion": talk(n)[3:]} for n in range(8)]
    Path("plain.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    plain = weights("plain", "--data", "plain.jsonl", "--turns", "last")
    every = weights("all", "--data", "plain.jsonl")
    assert all(torch.equal(tensor, plain[name]) for name, tensor in last.items())
    assert any(not torch.equal(tensor, every[name]) for name, tensor in last.items())


def test_the_defenders_conversations_go_the_same_way(folder):
    defended = ["--harmful", "talks.jsonl", "--defense", "panacea"]
    every, last = weights("all", *defended), weights("last", *defended, "--turns", "last")
    assert any(not torch.equal(tensor, every[name]) for name, tensor in last.items())


def test_a_conversation_that_cannot_be_told_apart_is_refused_by_row(folder, capfd):
    Path("t.jinja").write_text(TAGGED.replace("m['content'] + ' <end>'", "m['content'] | upper"))
    assert main([*RUN, "--output", "bad", "--chat-template", "t.jinja"]) == 2
    err = capfd.readouterr().err
    assert "talks.jsonl, row 1: the chat template renders this conversation" in err
    assert "--turns last" in err
    assert not Path("bad").exists()


def test_another_choice_of_turns_is_another_run_to_go_on_with(folder):
    result = [RunResult.load(f"{name}/result.json").data[0].sha256 for name in ("all", "last")
              if weights(name, "--turns", name)]  # fmt: skip
    assert result[0] != result[1]
