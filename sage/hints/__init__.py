"""How a hint comes to be: asked from a source with a prompt, read from the reply, checked for leaks, kept in files."""
