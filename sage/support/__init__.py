"""Helpers with nothing of SAGE in them: files written whole, intervals, processes, versions, objects named in a
configuration."""
