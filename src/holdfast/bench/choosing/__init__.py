"""A defense chosen under limits: searched on some prompts, certified on others."""
