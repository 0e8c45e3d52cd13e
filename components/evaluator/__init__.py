"""Metrics, gate and report: decides whether a tagger may be pushed."""
