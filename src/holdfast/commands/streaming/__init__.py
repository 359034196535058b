"""Repairs that change one weight at a time: a model is read, edited and written shard by shard."""
