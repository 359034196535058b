"""From data to a release: screen, choose, redteam."""
