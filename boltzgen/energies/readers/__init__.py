"""Kinds of OpenMM forces, read into terms."""
