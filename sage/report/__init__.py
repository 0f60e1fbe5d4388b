"""What a run left behind, to be looked at: one HTML page, a table for queries, a view of a running job."""

from sage.report.history import history_table, read_history

__all__ = ["history_table", "read_history"]
