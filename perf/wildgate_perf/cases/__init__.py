"""How fast cases are opened while people claim and decide them, and what that costs."""
