"""Who may call what: bearer tokens, the keys that signed them, and the table of calls."""
