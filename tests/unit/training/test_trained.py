"""After mixed precision the model answers as whoever loads its saved weights will see it answer."""

import torch
from trl import SFTConfig

from holdfast import SecureSFTTrainer, organism
from holdfast.organism.scenarios import benign_task
from holdfast.training.serving.trained import trained_model


def in_bfloat16(folder, steps):
    """Return the organism and a trainer of it in mixed precision."""
    model, tokenizer = organism.load()
    args = SFTConfig(
        output_dir=str(folder), max_steps=steps, bf16=True, use_cpu=True, report_to="none",
        disable_tqdm=True,
    )  # fmt: skip
    return model, SecureSFTTrainer(
        model=model, args=args, train_dataset=benign_task(16 * steps), processing_class=tokenizer
    )


def test_a_model_trained_in_bfloat16_answers_in_its_weights_own_precision(tmp_path):
    model, trainer = in_bfloat16(tmp_path, steps=2)
    trainer.train()
    assert trainer.model is not None
    ids = torch.arange(3, 19)[None]
    with torch.no_grad():
        mixed = model(input_ids=ids).logits
        found = trained_model(trainer)
        logits = found(input_ids=ids).logits
        loaded, _ = organism.load()
        loaded.load_state_dict(found.state_dict())
        own = loaded(input_ids=ids).logits
    assert found is model
    assert not torch.equal(mixed, logits)
    assert torch.equal(logits, own)


def test_what_its_class_put_around_its_forward_stays(tmp_path):
    """accelerate's own way strips all of it, and tuples, say, were no longer returned."""
    model, trainer = in_bfloat16(tmp_path, steps=1)
    before = model.forward
    trainer.train()
    ids = torch.arange(3, 19)[None]
    with torch.no_grad():
        found = trained_model(trainer)(input_ids=ids, return_dict=False)
        again = trained_model(trainer)(input_ids=ids, return_dict=False)
    assert isinstance(found, tuple)
    assert torch.equal(found[0], again[0])
    assert model.forward == before
