"""模拟: seeded histories of three organizations whose lanes and nodes fail in every way they may.

A history is one seed: which commands are asked of whom, which messages are lost, repeated, delayed
or overtaken, where a node falls over, how the clocks differ. When the faults stop, everybody must
hold the same facts, every member must be in one organization's care, and nothing that was answered
may be missing. `SIM_SEED=… pytest -m simulation` tells one history again, line by line.
"""
