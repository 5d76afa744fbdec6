"""Settings of every test run."""

from jaxtyping import install_import_hook

from . import shapes

# before the package is imported
install_import_hook("boltzgen", f"{shapes.__name__}.check_shapes")

import pytest  # noqa: E402
import torch  # noqa: E402
from jaxtyping import config  # noqa: E402

# Tests run side by side in as many processes as there are cores.
torch.set_num_threads(1)


@pytest.fixture
def unchecked_shapes():
    """For tests of what the package itself says to tensors of wrong shapes."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
