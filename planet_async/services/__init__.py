"""Services: one for each API; they turn calls into requests and answers into models."""
