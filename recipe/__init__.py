"""Recipes on verl."""
