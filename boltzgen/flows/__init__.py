"""Layers of a normalizing flow over torsions (on the circle) and stiff coordinates (on the line).

couplings       The layers: bijections of (torsions, stiff) with their log-determinants.
conditioners    Networks and features that give a coupling its parameters.
splines         Monotone rational-quadratic splines, as torch operations.
transforms      What a layer computes once it has its parameters, as torch operations: the definition.
operators       The same as operators of torch that run as machine code, and the choice between the two.
cpp/            C++ sources of the kernels and their calls on tensors.
cuda/           The same for NVIDIA GPUs; splines share the functions of the C++ kernels.

To add a layer, derive from ``couplings.FlowLayer``. To give it machine code, write its definition in
``transforms``, its kernels in ``cpp/`` and ``cuda/`` and its operator in ``operators``.
"""
