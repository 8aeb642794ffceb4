"""拷打: real nodes are killed, starved and set to a wrong clock; nothing answered may be lost."""
