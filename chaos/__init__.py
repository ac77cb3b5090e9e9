"""Prove the guarantee: break everything on purpose, then count what clients were promised."""
