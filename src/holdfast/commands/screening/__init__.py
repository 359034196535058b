"""``holdfast screen``: what is in the rows, and what of it should not be trained on."""
