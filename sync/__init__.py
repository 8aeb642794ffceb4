"""同步: how two organizations that do not trust each other's database come to hold the same facts.

The ledger is the outbox. The **relay** reads it from a bookmark and numbers, for each peer, the
facts that concern it: a fact names its audience, an audience only grows, and whoever joins the
audience of a stream receives that stream from its first fact. The numbers of one direction, a
**lane** (通道), have no gaps; with each goes a running root, SHA-256 over the root before it and
the fact's leaf hash. Numbers, roots and the relay's bookmark are put down in one transaction, so a
crash repeats nothing and forgets nothing.

What travels is a **batch** (批): consecutive entries of a lane as the bytes they were recorded in,
the root before and after them, the lane's head, and the data keys that these entries need and the
peer was granted, each sealed to the peer's public key. The sender signs it once. A batch without
entries is a heartbeat: silence and having nothing to say look different.

The **inbox** checks, in this order: the sender is enrolled; the signature; it is addressed to us;
the number follows the last one; the roots; then, entry by entry, that the sender keeps the stream,
may author the topic, and that the version follows. What passes is recorded verbatim in one
transaction with the lane's bookmark, root, keys and quarantined entries. A batch that fails as a
whole changes nothing and is kept as evidence; an entry that fails is quarantined and stops only
its own stream. The answer is a **receipt** (回单), signed: recorded up to number n, with its root.
A gap is answered by a **want** (补发请求): send again from n + 1.

What is checked entry by entry stands in `checks`, `authority` and `handover`: a state is read
strictly, opened where its key is held and tried on a copy of its stream, so that no peer can send
what would stop a reader later; and a handover is held to its steps, so that none can confirm an
offer that was never made. Refused entries are retried by `quarantine`, a dry run first.

The same three messages travel over any lane: `lane_http` pulls with long polling, `lane_kafka`
pushes through a broker that may lose, repeat, delay and reorder. Positions are in our database,
never in the broker, so wiping the broker loses nothing.
"""
