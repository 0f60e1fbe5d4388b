"""A domain whose truth is unit tests: verifier in a sandbox, hint prompts, problems. See README.md here."""
