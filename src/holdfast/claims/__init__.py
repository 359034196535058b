"""What each paper reports, and the shape of its claims as tests on measured arms; data only."""
