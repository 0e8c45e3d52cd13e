"""Photographs ▸ Beam ▸ Examples."""
