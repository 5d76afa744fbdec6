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


def pytest_addoption(parser):
    parser.addoption("--device", default="cpu", help="of tests that take one: cpu, cuda, cuda:N")


@pytest.fixture(scope="session")
def device(request) -> torch.device:
    """The device that was asked for by --device. Tests of GPUs alone ask for ``gpu``."""
    chosen = torch.device(request.config.getoption("--device"))
    torch.empty(0, device=chosen)  # a device that is not there is an error, not a skipped test
    return chosen


@pytest.fixture(scope="session")
def gpu(device) -> torch.device:
    """The same; the test is skipped unless it is a GPU."""
    if device.type != "cuda":
        pytest.skip("needs a GPU: scripts/test --device cuda")
    return device


@pytest.fixture
def unchecked_shapes():
    """For tests of what the package itself says to tensors of wrong shapes."""
    config.update("jaxtyping_disable", True)
    yield
    config.update("jaxtyping_disable", False)
