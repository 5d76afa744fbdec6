"""What training minimises.

The interface and what objectives share:

objective: ``Objective`` and ``Loss``.
frames: batches of frames; ``FrameObjective``, any function of such a batch.
cooling: the temperature as a function of the progress.
outliers: how reverse KL treats the worst samples of a batch.

From the energy:

reverse_kl: reverse KL with path gradients.
guided: reverse KL that is shown every conformer, by ``conditional`` and ``dispersion``.
walker_kl: reverse KL and forward KL on a population of ``walkers``.
mass_covering: particles of the ``bootstrap`` in a ``prioritised_buffer``.
reweighted_rounds: forward KL on the model's own samples, by ``reweighting`` or within a ``trust_region``.
extended_reverse_kl: reverse KL on (x, z), for latent-variable models.

From frames:

likelihood: maximum likelihood.
elbo: the evidence lower bound.
reconstruction: autoencoders, and a density of their codes.
adversarial_game: two players, whose losses are in ``adversarial``.
two_domains: the bound on frames of two domains, against a classifier of domains.
"""
