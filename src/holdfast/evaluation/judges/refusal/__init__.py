"""What the learned refusal judge reads of an answer, and the weights that it has learned."""
