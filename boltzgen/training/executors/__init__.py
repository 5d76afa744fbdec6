"""Who computes the gradient of a training step.

executor: the interface, and what one process does with one batch.
alone: this process.
forked: this process and forked copies of it.
spawned: this process and new ones that the objective is sent to.
team: what the last two share: memory, messages, and what becomes of a process that dies or is stopped.
distributed: processes that torchrun started, on several devices or machines.
choice: which of them a stage gets.
"""
