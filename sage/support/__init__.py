"""Helpers with nothing of SAGE in them: files, rows, intervals, models, engines, processes, versions, own classes."""
