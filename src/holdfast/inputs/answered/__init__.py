"""Answers that exist already, people's labels for them, and phrases to judge them by."""
