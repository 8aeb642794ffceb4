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
A gap is answered by a **want** (补发请求): send again from n + 1. Of a batch that leaves one, the
lane's head alone is noted: it tells how far we are behind.
Every receipt also names the entries that stopped their streams, why, and what to do, until they are
resolved; so the sender, who alone can mend them, knows.

What is checked entry by entry stands in `checks`, `authority`, `handover` and `affiliation`: a
state is read strictly, opened where its key is held and tried on a copy of its stream, so that no
peer can send what would stop a reader later; a handover and a transfer are held to their steps, so
that none can confirm an offer, or admit a transfer, that was never made. Refused entries are
retried by `quarantine`, a dry run first.

Equal facts are one half; equal read models the other. A node **compares** (对账) with a peer what
both should hold: `compare` has the signed letters, `ranges` the tree of keyed hashes that they walk
down, `comparing` the side that asks and `answering` the side that is asked. Values never pass, only
hashes keyed by a salt of which each side has drawn a part. Where nothing differs, both sign a
**certificate** (一致证明) that names the cut, which is where both lanes stand; each keeps it.

Keys change as facts on the lane: the old key and the new sign the succession, and both sign every
message until all peers have confirmed it (`succession`, `trust`). A key that was given up counts up
to the lane number that was recorded under it. What a node is too old to read it stores to the byte;
its peers know which names those are (`book_unread`).

A node whose database was put back to an old backup is shown its own checkpoint by its peers, and
stops (`fence`). At its start it asks each of them (`greeting`); they give back what it sent them,
number by number (`returned`). `healing` puts it into the order that the witnessed roots prove
(`ordering`), or, at an operator's word, begins a new epoch by a signed statement (`renewal`).

The same three messages travel over any lane: `lane_http` pulls with long polling (requests are
signed: `signed_http`), `lane_kafka` pushes through a broker that may lose, repeat, delay and
reorder, `lane_bundle` writes them into files, sealed to their receiver, where no network path
leads. Positions are in our database, never in the broker or the file, so wiping the broker or
losing a file loses nothing.
"""
