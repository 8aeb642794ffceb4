"""演示: three organizations on one machine, sharing nothing but lanes, and a year of theirs."""
