"""Refinement of a trained flow's samples by thinning or by annealing, whichever is cheaper.

``particles``: weighted samples of a flow and pilots that measure their cost. ``refine``: the choice between
the two ways, and the refined samples.
"""
