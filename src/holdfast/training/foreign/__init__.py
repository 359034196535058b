"""Trainers of other people: what holds whatever their classes, rows, collators and losses are."""
