"""Recipes of ``holdfast bench`` that come with the package; ``base.yaml`` holds every default."""
