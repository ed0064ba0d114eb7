"""One caller against all others: what good callers keep of their rate while somebody attacks."""
