"""What answers in place of a model in this process: a server that is asked, or vLLM."""
