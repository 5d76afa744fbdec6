"""What a person asks for, each as a recipe that is read from top to bottom. A sentence a file:

Recipes
    ``sample``: a molecule in, a weighted ensemble out. ``plan``: what ``sample`` would do and cost, from a
    few steps (``--dry-run``). ``reference``: a reference ensemble by replica exchange. ``compare``: all
    models side by side. ``energy``: energies of given conformers, force by force. ``free_energy``: free
    energies of a state, or the difference between two.

Parts of ``sample``
    ``config``: the one schema of settings, which command line, TOML and Python are views of. ``preparation``:
    from a molecule to its ``Problem``. ``conformer_frames``: dynamics within every conformer.
    ``hot_frames``: frames at a higher temperature. ``training_data``: a problem's frames in a model's own
    coordinates. ``sampling``: samples of a trained model, weighted. ``refinement``: better samples in the
    time that is left. ``diagnostics``: whether to trust them. ``sample_facts``: what the summary says.
    ``resuming``: the folder of a run that may have been cut short. ``versions``: what a run was made with.

Parts of ``free_energy``
    ``trained_state``: what the folder of a finished run holds. ``state_data``: fresh samples and frames.
    ``state_free_energy``: every estimator of one state. ``free_energy_difference``: the ways between two.

Parts of ``compare``
    ``comparison_entries``: its settings, and which models with which frames take part.
    ``given_reference``: a reference from a folder, checked. ``reference_parts``: a reference divided into
    frames to learn from and to be judged by. ``compared_models``: one model after the other, trained and
    measured alike.
"""
