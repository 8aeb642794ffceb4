"""表格: the official sheets as they arrive, read with all their dirt."""
