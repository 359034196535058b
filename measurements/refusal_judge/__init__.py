"""How the learned refusal judge is trained and measured."""
