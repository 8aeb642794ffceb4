"""Workbooks as they arrive, the hostile ones included."""
