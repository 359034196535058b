"""Which revision of a model is loaded, in how many bits, and onto which devices."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Self

import torch
from transformers import BitsAndBytesConfig

from holdfast.errors import ConfigError
from holdfast.inputs.configs import DType, ModelConfig, Quantization
from holdfast.inputs.rows import ORGANISM

__all__ = ["Placement"]

SPREADS = ("auto", "balanced", "balanced_low_0", "sequential")
"""Values of ``device_map`` by which accelerate spreads a model over all devices."""


@dataclass(frozen=True)
class Placement:
    """What ``from_pretrained`` is told beside a name and a type."""

    revision: str | None = None
    """Branch, tag or commit on the hub; the default branch without it."""
    quantization: Quantization | None = None
    device_map: str | None = None

    @classmethod
    def of(cls, config: ModelConfig) -> Self:
        """Return what a command's config says, checked as far as no model is needed.

        Raises:
            ConfigError: A package is missing, or there is no such device.
        """
        made = cls(config.revision, config.quantization, config.device_map)
        made.check()
        return made

    def check(self) -> None:
        """Raise ``ConfigError`` where a package is missing, or there is no such device."""
        if self.quantization is not None and find_spec("bitsandbytes") is None:
            raise ConfigError(
                f"`quantization={self.quantization}` needs the package bitsandbytes: install it "
                "(pip install 'holdfast[quantization]'), or leave the option out"
            )
        if self.device_map is not None and self.device_map not in SPREADS:
            _check_device(self.device_map)

    def check_name(
        self,
        name: str,
        field: str,
        *,
        local: bool,
        dtype: DType = "float32",
        chat_template: Path | None = None,
    ) -> None:
        """Raise ``ConfigError`` where the options mean nothing for what the name stands for."""
        said = {**vars(self), "chat_template": chat_template}
        said["dtype"] = dtype if dtype != "float32" else None
        given = [key for key, value in said.items() if value is not None]
        if name == ORGANISM and given:
            raise ConfigError(
                f"`{given[0]}={said[given[0]]}`: the built-in test model is loaded as it "
                "is: leave it out, or give another `model`"
            )
        if self.revision is not None and local:
            raise ConfigError(
                f"`revision={self.revision}`: `{field}={name}` is on this disk and has no "
                "revisions: leave it out, or give a hub id (owner/name)"
            )

    def check_config(self, config: Any, shown: str) -> None:
        """Raise ``ConfigError`` where bits are asked for and the weights have some already."""
        own = getattr(config, "quantization_config", None)
        if own is not None and self.quantization is not None:
            raise ConfigError(
                f"`quantization={self.quantization}`: the weights of {shown} are quantized "
                "already, as its config.json says: leave the option out"
            )

    def hub(self) -> dict[str, Any]:
        """Return the options of everything that is read of a hub id."""
        return {} if self.revision is None else {"revision": self.revision}

    def weights(self, dtype: DType) -> dict[str, Any]:
        """Return the options of the weights alone; products are computed in ``dtype``."""
        kept: dict[str, Any] = {}
        if self.quantization is not None:
            kept["quantization_config"] = _bits(self.quantization, getattr(torch, dtype))
        if self.device_map is not None:
            kept["device_map"] = self.device_map
        return kept


def _bits(quantization: Quantization, dtype: torch.dtype) -> BitsAndBytesConfig:
    """Return QLoRA's 4 bits (NF4, double quantization, arXiv 2305.14314) or LLM.int8's 8."""
    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


def _check_device(name: str) -> None:
    """Raise ``ConfigError`` unless torch has a device of this name here."""
    try:
        device = torch.device(name)
        torch.empty(0, device=device)
    except Exception as error:
        # Each backend raises errors of its own where it is not there.
        wanted = f"expected one of {', '.join(SPREADS)}, or a device such as cpu or cuda:0"
        raise ConfigError(f"`device_map={name}`: no such device here: {wanted}") from error
    if device.type == "meta":
        raise ConfigError(f"`device_map={name}`: holds no values: give a device such as cpu")
