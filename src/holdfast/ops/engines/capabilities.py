"""What a method may need of the engine that runs it; engines say in these words what they lack."""

from enum import StrEnum

__all__ = ["Capability"]


class Capability(StrEnum):
    """What a defense needs of the engine that runs it; refused before step 0 where missing."""

    EXTRA_BACKWARD = "extra backward passes"
    LOGITS = "logits of the user's batch"
    NLL = "the mean negative log-likelihood as the user's loss"
    ATTACHMENT = "a frozen attachment while training"
    EDITS_WEIGHTS = "edits of the weights"
    EDITS_DATA = "edits of the user's data"
    ROWS = "the user's rows one by one"
    LEARNING_RATES = "learning rates per module"
    FREEZES = "weights frozen for some steps"
    REPEATS = "the user's own pass run twice"
    HOOKS = "hooks inside the user's own pass"
    SKIPS = "the user's own pass left out"
    TRAINING = "a training loop"
