"""The study of row scores on a chat model: its sets, its tunes, its scores, its row test."""
