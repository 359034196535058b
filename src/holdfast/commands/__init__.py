"""What the everyday commands do: tune, align, repair, evaluate, analyze."""
