"""删除: how a node closes a person's data, destroys its keys, and shows how far that has come."""
