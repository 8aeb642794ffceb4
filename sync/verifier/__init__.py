"""验证: checks what a node has handed out, by public keys alone: no node, network or database.

It is small, and shares with the node only the tree of RFC 6962 and its suite of algorithms; PyNaCl,
`cryptography` and the standard library do the rest. What it checks stands in
docs/reference/passport.md and docs/reference/ledger-export.md.
"""
