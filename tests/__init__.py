"""What must hold, folder by folder as in the house, and what tests share in `support`."""

from pathlib import Path

import pytest

# What a helper asserts says what it saw, as in a test.
pytest.register_assert_rewrite(
    *(f"{__name__}.{room.name}" for room in Path(__file__).parent.iterdir())
)
