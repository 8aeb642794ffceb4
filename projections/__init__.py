"""读模型: what people read, computed from the ledger and rebuilt from it at will."""
