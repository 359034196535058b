"""A loss on evaluation rows is one number, in however many processes and batches they are read."""

import pytest
import torch
from datasets import Dataset

from holdfast.commands.tuning.trainer import TuneTrainer
from holdfast.testing.runs import Setting, new_trainer
from tests.distributed import in_processes

ROWS = 11
FULL_SFT = Setting("SFTTrainer")
PACKED = {"packing": True, "packing_strategy": "bfd", "max_length": 64}
SPLIT = {"split_batches": True, "dispatch_batches": True}
FIGURES = ("eval_loss", "eval_mean_token_accuracy", "eval_entropy")


def rows(count):
    """Return rows whose answers have between one and many tokens."""
    words = [("no " * (1 + 5 * n % 13)).strip() for n in range(count)]
    return Dataset.from_list(
        [{"prompt": f"question {n} ", "completion": word} for n, word in enumerate(words)]
    )


def looked(count, batch, processes, **args):
    """Return the figures of a look between two steps, as each process has them."""

    def act():
        given = {"per_device_eval_batch_size": batch, "max_steps": 2, "learning_rate": 0.0}
        trainer = new_trainer([], FULL_SFT, cls=TuneTrainer, eval_strategy="steps", eval_steps=1,
                              **given, **args)  # fmt: skip
        trainer.eval_dataset = trainer._prepare_dataset(
            rows(count), trainer.processing_class, trainer.args, trainer.args.packing, None, "eval"
        )
        trainer.train()
        every = [entry for entry in trainer.state.log_history if "eval_loss" in entry]
        assert len(every) == 2
        return [[entry[name] for name in FIGURES] for entry in every]

    return in_processes(act, count=processes) if processes > 1 else [act()]


@pytest.mark.parametrize("count", [1, 7, ROWS])
@pytest.mark.parametrize(("batch", "processes"), [(3, 2), (1, 2), (2, 3)])
def test_the_loss_is_that_of_one_process(count, batch, processes):
    """The last batches held rows from the beginning: 11 rows gave 4.02344 for 4.01842."""
    (wanted,) = looked(count, ROWS, 1)
    for found in looked(count, batch, processes):
        assert torch.allclose(torch.tensor(found), torch.tensor(wanted), rtol=1e-5)


@pytest.mark.parametrize("args", [PACKED, {"padding_free": True, "max_length": None},
                                  {"accelerator_config": {"split_batches": True}},
                                  {"accelerator_config": SPLIT}],
                         ids=["packed", "padding-free", "split", "dispatched"])  # fmt: skip
def test_it_is_so_however_rows_come_to_the_processes(args):
    own = {} if "accelerator_config" in args else args
    (wanted,) = looked(ROWS, ROWS, 1, **own)
    for found in looked(ROWS, 2, 2, **args):
        assert torch.allclose(torch.tensor(found), torch.tensor(wanted), rtol=1e-5)


def test_short_answers_count_by_their_tokens_also_in_one_process():
    (whole,), (single,) = looked(ROWS, ROWS, 1), looked(ROWS, 1, 1)
    assert torch.allclose(torch.tensor(whole), torch.tensor(single), rtol=1e-5)


def test_the_last_rows_that_the_user_drops_stay_dropped():
    found = looked(ROWS, 2, 2, dataloader_drop_last=True)
    (wanted,) = looked(8, 8, 1)
    for each in found:
        assert torch.allclose(torch.tensor(each), torch.tensor(wanted), rtol=1e-5)


@pytest.mark.parametrize("filtered", [True, False])
def test_a_batch_without_a_finite_loss_is_left_out_as_the_trainer_does(monkeypatch, filtered):
    plain, seen = TuneTrainer.compute_loss, []

    def broken(self, model, inputs, **more):
        loss = plain(self, model, inputs, **more)
        if self.model.training:
            return loss
        seen.append((float(loss), int(inputs["labels"][:, 1:].ne(-100).sum())))
        return loss * (1 if len(seen) % 2 else float("nan"))

    monkeypatch.setattr(TuneTrainer, "compute_loss", broken)
    (found,) = looked(4, 1, 1, logging_nan_inf_filter=filtered)
    (one, tokens), _, (other, more), _ = seen[:4]
    wanted = (one * tokens + other * more) / (tokens + more) if filtered else float("nan")
    assert found[0][0] == pytest.approx(wanted, rel=1e-5, nan_ok=True)
