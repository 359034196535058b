"""Where people already are: inspect-ai, lm-eval, axolotl, LLaMA-Factory; each is optional."""
