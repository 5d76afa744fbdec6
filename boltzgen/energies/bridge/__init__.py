"""Forces that only OpenMM can compute, evaluated by OpenMM in worker processes."""
