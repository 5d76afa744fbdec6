"""Machine code of the layers for NVIDIA GPUs."""
