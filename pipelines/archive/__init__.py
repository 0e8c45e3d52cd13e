"""Whole archives: what is to be done (plan.py), and the doing of a part of it (work.py)."""
