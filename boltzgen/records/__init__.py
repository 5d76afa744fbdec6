"""What runs write as JSON, as versioned schemas. Keys are public: they keep their names.

``record``: what all of them have in common. ``run``: ``summary.json`` of a sampling run and of a reference
run. ``comparison``: ``comparison.json``. ``free_energy``: ``free-energy.json``. ``plan``: what ``--dry-run``
prints. The JSON schemas of what is written to files are in ``docs/schemas/``, written by
``scripts/write_schemas.py``.
"""
