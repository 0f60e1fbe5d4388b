"""Helpers with nothing of SAGE in them: files written whole, intervals, processes, versions, users' own classes."""
