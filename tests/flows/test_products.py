"""Own matrix products against torch's: every remainder of rows and columns, transposed weights, threads."""

import pytest
import torch

from boltzgen.flows.cpp.products import product


@pytest.mark.parametrize("batch", [1, 63, 64, 65, 127, 500])
@pytest.mark.parametrize("outputs", [*range(14)])
def test_product_equals_torchs(outputs, batch):
    generator = torch.Generator().manual_seed(outputs)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    weight, x, bias, added = normal(outputs, 9), normal(9, batch), normal(outputs), normal(9, batch)
    torch.testing.assert_close(product(weight, x), weight @ x, rtol=0, atol=1e-13)
    torch.testing.assert_close(product(weight, x, bias), weight @ x + bias[:, None], rtol=0, atol=1e-13)
    back = normal(outputs, batch)
    expected = weight.t() @ back + added
    torch.testing.assert_close(product(weight.t(), back, added=added), expected, rtol=0, atol=1e-13)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_single_precision_on_any_number_of_threads(threads):
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        weight, x = torch.randn(70, 128), torch.randn(128, 506)
        exact = weight.double() @ x.double()
        torch.testing.assert_close(product(weight, x).double(), exact, rtol=0, atol=1e-4)
    finally:
        torch.set_num_threads(before)
