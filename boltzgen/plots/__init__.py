"""Figures of weighted conformations, each a function that returns a matplotlib ``Figure``.

What a figure is drawn of is any object with the attributes of ``samples.DrawableSamples``; an ``Ensemble`` is
one. Colours, sizes and the look of axes stand in ``style.py`` alone.
"""
