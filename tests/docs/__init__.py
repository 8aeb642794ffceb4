"""The documents: complete, true to the code, and leading nowhere else."""
