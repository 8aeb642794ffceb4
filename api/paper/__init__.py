"""纸面: letters and slips as they are printed, and what a scanned one means here."""
