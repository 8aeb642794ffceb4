"""来者不善: an enrolled peer that misbehaves on purpose, and what becomes of each misdeed.

Nothing crashes, nothing of it is recorded, each is counted and kept as evidence, and the honest
third that shares an absence with the victim notices nothing.
"""
