"""One fine-tuning run: the trainer, the session that runs the hooks, and what surrounds them."""
