"""Machine code of the layers, made through C++: sources of the kernels and their calls on tensors."""
