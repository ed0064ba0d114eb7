"""Referrals: a case as a sealed package that its recipient can check without us."""
