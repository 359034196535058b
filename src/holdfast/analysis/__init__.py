"""Where safety sits in a model."""
