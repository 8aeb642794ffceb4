"""存储: where a node keeps its ledger, and the server that comes with it."""
