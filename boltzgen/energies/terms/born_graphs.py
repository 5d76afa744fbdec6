"""The stages of an implicit-solvent term as expression graphs with their derivatives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from boltzgen.codegen.derivatives import gradient
from boltzgen.codegen.graphs import ZERO, Node, add, call, constant, mul, select, variable
from boltzgen.energies.language.expressions import Scope, parse

SINGLE, PAIR, PAIR_NO_EXCLUSIONS = "single", "pair", "pair without exclusions"
AXES = ["x", "y", "z"]


@dataclass(frozen=True)
class BornGraphs:
    """The stages as graphs over r, x y z, parameter{c}_1, _2 (of the two atoms), value{m}_1, _2, weight{m}.

    Values are numbered sums first, then derived ones.
    """

    sums: list[tuple[str, list[Node]]]  # kind; [f, ∂f/∂r]
    derived: list[Node]
    single: list[Node]  # [E₁, ∂x, ∂y, ∂z, ∂value0_1, …]
    pair: list[tuple[str, list[Node]]]  # kind; [E₂, ∂r, ∂value0_1, …, ∂value0_2, …]
    back: list[Node]  # of Σ weight·derived: [∂x, ∂y, ∂z, ∂sum0_1, …]

    @property
    def n_values(self) -> int:
        """Number of values of each atom: sums and derived ones."""
        return len(self.sums) + len(self.derived)


@dataclass(frozen=True)
class BornLanguage:
    """What the expressions of a term may refer to, and the values they define.

    values: (name, expression, kind) in order of definition; energies: (expression, kind); cutoff: nm or None;
    constants: global parameters; tables: number of arguments of each tabulated function.
    """

    parameter_names: Sequence[str]
    values: Sequence[tuple[str, str, str]]
    energies: Sequence[tuple[str, str]]
    cutoff: float | None
    constants: Mapping[str, float]
    tables: Mapping[str, int]

    def graphs(self) -> BornGraphs:
        """All stages. Raises InputError for an expression that is not understood."""
        sums, derived = self._values()
        numbers = self._numbers()
        first, second = ([f"value{m}_{side}" for m in range(len(numbers))] for side in (1, 2))
        of_one = {name: variable(first[m]) for name, m in numbers.items()}
        of_two = {
            f"{name}{side}": variable(f"value{m}_{side}") for name, m in numbers.items() for side in (1, 2)
        }
        single, pair = ZERO, dict[str, Node]()
        for text, kind in self.energies:
            if kind == SINGLE:
                single = add(single, parse(text, self._of_one(of_one)))
            else:
                energy = self._within_cutoff(parse(text, self._of_two(of_two)))
                pair[kind] = add(pair.get(kind, ZERO), energy)
        weighted = ZERO
        for m, graph in enumerate(derived):
            weighted = add(weighted, mul(variable(f"weight{m}"), graph))
        return BornGraphs(
            sums,
            derived,
            [single, *gradient(single, AXES + first)],
            [(kind, [energy, *gradient(energy, ["r", *first, *second])]) for kind, energy in pair.items()],
            gradient(weighted, AXES + first[: len(sums)]),
        )

    def _values(self) -> tuple[list[tuple[str, list[Node]]], list[Node]]:
        """Sums with their derivative by r; derived values as functions of sums alone."""
        numbers = self._numbers()
        sums: list[tuple[str, list[Node]]] = []
        derived: list[Node] = []
        known: dict[str, Node] = {}
        for name, text, kind in self.values:
            if kind == SINGLE:
                known[name] = parse(text, self._of_one(known))
                derived.append(known[name])
            else:
                f = self._within_cutoff(parse(text, self._of_two({})))
                sums.append((kind, [f, *gradient(f, ["r"])]))
                known[name] = variable(f"value{numbers[name]}_1")
        return sums, derived

    def _numbers(self) -> dict[str, int]:
        sums = [name for name, _, kind in self.values if kind != SINGLE]
        derived = [name for name, _, kind in self.values if kind == SINGLE]
        return {name: m for m, name in enumerate([*sums, *derived])}

    def _of_one(self, values: Mapping[str, Node]) -> Scope:
        """Names in an expression of one atom."""
        names = {axis: variable(axis) for axis in AXES}
        names |= {name: variable(f"parameter{c}_1") for c, name in enumerate(self.parameter_names)}
        return Scope({**self._constants(), **names, **values}, tables=self.tables)

    def _of_two(self, values: Mapping[str, Node]) -> Scope:
        """Names in an expression of two atoms."""
        names = {"r": variable("r")}
        for side in (1, 2):
            for c, name in enumerate(self.parameter_names):
                names[f"{name}{side}"] = variable(f"parameter{c}_{side}")
        return Scope({**self._constants(), **names, **values}, tables=self.tables)

    def _constants(self) -> dict[str, Node]:
        return {name: constant(number) for name, number in self.constants.items()}

    def _within_cutoff(self, graph: Node) -> Node:
        if self.cutoff is None:
            return graph
        return select(call("step", constant(self.cutoff) - variable("r")), graph, ZERO)
