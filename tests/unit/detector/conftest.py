import pytest

from wildgate_detector.stamps import Stamps, StampsMissingError, load_stamps


@pytest.fixture(scope="session")
def stamps() -> Stamps:
    try:
        return load_stamps()
    except StampsMissingError as error:
        pytest.skip(str(error))
