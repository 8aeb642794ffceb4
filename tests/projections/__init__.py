"""Read models against a real ledger."""
