"""Energies computed by other programs: quantum chemistry and machine-learned potentials.

calculator     What a calculator is, its description as plain data, and its ``openmm.PythonForce``.
tight_binding  GFN1-xTB and GFN2-xTB by tblite.
learned        Potentials of OpenMM-ML: ANI, AIMNet2, MACE and others.

To add one, write a class with ``recipe`` and ``energies_and_gradients``, and name it in ``calculator.KINDS``.
"""
