"""Training: one loop for every objective.

config: settings.
data: what a model may be trained on.
families: generative models by name.
recipes, autoencoder_recipes, adversarial_recipes: which objectives a model is trained with, in which order.
stage: a share of the budget spent on one objective.
trainer, result: the loop, and what it tells.
learning_rate: its course over a stage.
executors: who computes the gradient of a step.
clock, plateau, averaging: the budget used, when nothing gains any more, the average of the parameters.
held_out, guard: how good a model is, and the way back where training diverges.
checkpoint: the state of a training cut short.
model_file: a trained model in a file.
"""
