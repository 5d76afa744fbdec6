"""Settings of every test run."""

import torch

# Tests run side by side in as many processes as there are cores.
torch.set_num_threads(1)
