"""对端检查: an organization of no substance that tries another's node before it is relied on."""
