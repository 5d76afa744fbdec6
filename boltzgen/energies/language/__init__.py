"""OpenMM's expression language and its geometric functions, read into graphs."""
