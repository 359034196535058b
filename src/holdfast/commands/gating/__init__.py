"""The gate of a release: limits held against answers, and what comes of it."""
