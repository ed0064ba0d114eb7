"""How many disguised copies of a confirmed video are recognised, and how many strangers are taken for it."""
