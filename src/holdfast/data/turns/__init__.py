"""Conversations of several turns: which tokens of them are the assistant's, proven on the text."""
