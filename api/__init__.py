"""入口: every way in for people and peers, where the parts of a node are put together."""
