"""A domain of one's own: the numbers game, with its own verifier, hint prompts and schedule. See README.md here."""
