"""What must hold, folder by folder as in the house, and what tests share in `support`."""
