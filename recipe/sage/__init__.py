"""The verl adapter of SAGE. Importing it has no side effect; `recipe.sage.main_sage` is the entry point."""
