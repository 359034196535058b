"""What a chat template does with messages, looked at before it is relied on."""
