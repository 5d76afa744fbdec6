"""Generated code: expression graphs, their derivatives, the printers, and what turns source into libraries.

operators       The one table of operators: value, derivative, torch form, C++ form.
graphs          Expression graphs with shared nodes, simplified as they are built.
derivatives     Exact derivatives of graphs, as graphs.
tables          Tabulated functions, the operator that has data of its own.
torch_printer   Graphs as a Python function of tensors.
cpp_printer     Graphs as C++ statements; cpp_tables prints tabulated functions.
cpp_prelude     Types, constants and vectorised mathematics that each C++ kernel starts with.
cuda_prelude    The same names for CUDA kernels, whose statements cpp_printer and cpp_tables print as well.
torch_operators Kernels as operators of torch, with their gradients.
library         C++ sources compiled once on a machine, and loaded.
nvrtc           CUDA sources compiled to machine code of a GPU's architecture, with or without a GPU.
cuda_module     CUDA kernels loaded into a GPU, and launched on torch's stream.
cache           The folder that keeps compiled libraries, and what in it may be loaded.

To add an operator, add a row to ``operators.OPERATORS``. To add a target, write a prelude that defines the
names which the C++ forms use, as ``cuda_prelude`` does, and a backend (``boltzgen.energies.backends``) that
wraps the printed statements in the loops of that target.
"""
