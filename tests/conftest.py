"""What every test shares: both back ends, and the recorded bodies where they are at hand."""

from pathlib import Path

import pytest

SAMPLES = Path(__file__).parents[2] / "shared" / "samples"


@pytest.fixture(params=["asyncio", "trio"])
def anyio_backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="session")
def samples() -> Path:
    if not SAMPLES.is_dir():
        pytest.skip("the recorded bodies (../shared/samples) are not beside this checkout")
    return SAMPLES
