"""内存节点: a node whose ledger, lane book, keys and read models stand in memory, for volume alone.

Only the simulation uses it. Records go through the library's in-memory recorder behind the same
ledger; every decision, check, relay and inbox is the product's own. `tests/simulation/test_double`
holds each method against PostgreSQL's, so that the double cannot drift.
"""
