"""SafeLoRA for a finished adapter: no training loop, no data, no tokenizer."""

from pathlib import Path

from torch import nn

from holdfast.artifact import Artifact
from holdfast.defenses.safe_lora.safe_lora import SafeLoRA
from holdfast.training.standalone import repair


def apply_safe_lora(
    model: nn.Module,
    base: str | Path,
    aligned: str | Path | None = None,
    *,
    tau: float = 0.5,
) -> Artifact:
    r"""Put :math:`B \leftarrow CB` wherever :math:`\cos(CBA, BA) \le \tau`, in place.

    :math:`C = VV^\top / \lVert V\rVert_F` with :math:`V = W_{aligned} - W_{base}` (Safe LoRA, arXiv
    2405.16833, eqs. 1–3). Other tensors keep every bit.

    Args:
        model: A PEFT model with a LoRA adapter, also one that was loaded for inference, or fully
            tuned weights. What is edited in float32.
        base: Folder of the unaligned model (before safety training), of the same architecture.
        aligned: Folder of the aligned model; default the adapter's own base. Needed for full
            tuning and for a quantized base.
        tau: Projections with a cosine at or below it are projected, in [0, 1]; 0 projects none.

    Returns:
        What was changed: ``report`` with the number of projections, and each one's cosine and norm
        kept in ``documents["projection"]``.

    Raises:
        ConfigError: A folder is missing or holds the wrong model, or ``tau`` is out of range.
        ModelError: The adapter is no plain LoRA, or the folders' models are of other shapes.
    """
    folders = {"base": str(base), "aligned": None if aligned is None else str(aligned)}
    return repair(SafeLoRA(tau=tau, **folders), model)
