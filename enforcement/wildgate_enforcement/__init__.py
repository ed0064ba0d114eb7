"""From verdict to action: reports, the cases that people decide, and what follows from their decisions."""
