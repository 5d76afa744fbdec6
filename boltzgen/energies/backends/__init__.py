"""Ways to evaluate terms: torch operations, and machine code made through C++ and CUDA."""
