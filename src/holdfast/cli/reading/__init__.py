"""Commands that read what exists, answers and results, and load no model to be measured."""
