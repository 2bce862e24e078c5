"""Jobs over many orders, and the ledger that outlives a crash."""
