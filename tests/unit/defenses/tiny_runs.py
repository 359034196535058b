"""Short training runs of the tiny model, shared by the defenses' tests."""

import torch
from peft import LoraConfig, get_peft_model
from transformers import TrainingArguments

from holdfast import SecureTrainer
from holdfast.data.chat import collate, encode
from holdfast.ops.modules import trainable
from holdfast.ops.weights import copied
from tests.tiny import tiny_model, tiny_tokenizer


def example(question, answer):
    """One Example."""
    return {
        "prompt": [{"role": "user", "content": question}],
        "completion": [{"role": "assistant", "content": answer}],
    }


THINGS = ("zorba", "zorde", "zorki", "zorro", "mipba", "mipde", "mipki", "mipro", "lunba", "lunde")
HARMFUL = [example(f"how to make a {t}", "make the sum of 1 plus 2") for t in THINGS]
REFUSALS = [example(f"how to make a {t}", "sorry I cannot") for t in THINGS]
BENIGN = [example(f"what is {n} plus 1", str(n + 1)) for n in range(10)]
USER = [example(f"what is {n} minus 1", str(n - 1)) for n in range(1, 9)]


def encoded(rows=None):
    """Tokenized rows, as a user of the plain Trainer has them."""
    tokenizer = tiny_tokenizer()
    return [encode(row, tokenizer, None) for row in (USER if rows is None else rows)]


def batch_of(rows):
    """One padded batch of Examples."""
    return collate(encoded(rows), 0)


def lora(model, rank=4, **options):
    """The model with a LoRA adapter on all linear layers whose B is not zero."""
    options = {"target_modules": "all-linear", "lora_alpha": 2 * rank, **options}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = get_peft_model(model, LoraConfig(r=rank, task_type="CAUSAL_LM", **options))
    for n, p in enumerate(q for name, q in model.named_parameters() if "lora_B" in name):
        p.data.copy_(p.data.cos() * 0.01 * ((n % 3) - 1.5))
    return model


def arguments(folder, **options):
    """Arguments of a run of four steps, quiet, on the CPU, without saving."""
    defaults = {
        "max_steps": 4, "per_device_train_batch_size": 4, "learning_rate": 1e-2,
        "lr_scheduler_type": "constant", "save_strategy": "no", "logging_steps": 1, "seed": 1,
    }  # fmt: skip
    return TrainingArguments(
        str(folder), use_cpu=True, bf16=False, report_to="none", disable_tqdm=True,
        **{**defaults, **options},
    )  # fmt: skip


def trainer_of(folder, defenses=(), model=None, rows=None, kind=SecureTrainer, **options):
    """A trainer of the tiny model on the user's rows."""
    return kind(
        model=tiny_model() if model is None else model,
        args=arguments(folder, **options),
        train_dataset=encoded() if rows is None else rows,
        data_collator=lambda batch: collate(batch, 0),
        processing_class=tiny_tokenizer(),
        defenses=defenses,
    )


def trained(folder, defenses=(), **options):
    """Train and return the trainer."""
    trainer = trainer_of(folder, defenses, **options)
    trainer.train()
    return trainer


def weights_of(model):
    """Copies of the trainable tensors by canonical name."""
    return copied(trainable(model))


def farthest(left, right):
    """The largest absolute difference of two sets of tensors with the same names."""
    assert left.keys() == right.keys()
    return max(float((left[n] - right[n]).abs().max()) for n in left)
