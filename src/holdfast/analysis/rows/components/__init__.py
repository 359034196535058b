"""The components of a row's score: one equation each, and what they are all computed from."""
