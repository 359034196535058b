"""What each paper reports, as tests on measured arms, and the verdicts on them."""
