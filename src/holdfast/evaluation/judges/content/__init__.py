"""Judges that are models and read content, one file each; a user names the model's folder."""

from holdfast.evaluation.judges.content.beaver_dam import BeaverDam
from holdfast.evaluation.judges.content.harmbench import HarmBench
from holdfast.evaluation.judges.content.llama_guard import LlamaGuard3, LlamaGuard4
from holdfast.evaluation.judges.content.model_judge import ModelJudge, TemplateJudge, TextJudge
from holdfast.evaluation.judges.content.qwen3guard import Qwen3Guard
from holdfast.evaluation.judges.content.shieldgemma import ShieldGemma
from holdfast.evaluation.judges.content.strongreject import StrongReject
from holdfast.evaluation.judges.content.wildguard import WildGuard

__all__ = [
    "BeaverDam", "HarmBench", "LlamaGuard3", "LlamaGuard4", "ModelJudge", "Qwen3Guard",
    "ShieldGemma", "StrongReject", "TemplateJudge", "TextJudge", "WildGuard",
]  # fmt: skip
