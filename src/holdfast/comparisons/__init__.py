"""What is read out of many arms: worst cases, fronts, doses, two results side by side."""
