# SPDX-License-Identifier: MIT
import pytest

from tests.training.bars import bars


@pytest.fixture(scope="session")
def images():
    return bars(120, (8, 8))
