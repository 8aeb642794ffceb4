"""测速: what the node does in a second, each figure beside its floor, measured in the same run.

A floor is what the same machine does at that moment when everything is left out that is ours: the
database and its driver alone, the web framework alone, the library alone. A ratio survives a change
of machine; a figure does not. Every run is made on the shipped PostgreSQL, durable (fsync on).
"""
