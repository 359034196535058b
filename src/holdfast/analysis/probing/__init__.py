"""The probe that reads safety out of hidden states, and the prompts it is fitted on."""
