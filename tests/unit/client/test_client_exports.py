from __future__ import annotations

import importlib
import pkgutil

import pytest

import wildgate_client
from wildgate_client import errors

MODULES = ["wildgate_client", *(f"wildgate_client.{m.name}" for m in pkgutil.iter_modules(wildgate_client.__path__))]


@pytest.mark.parametrize("name", MODULES)
def test_every_module_says_what_it_offers(name: str):
    module = importlib.import_module(name)
    assert list(module.__all__) == sorted(set(module.__all__))
    assert [missing for missing in module.__all__ if not hasattr(module, missing)] == []


def test_the_package_offers_every_error():
    assert set(errors.__all__) <= set(wildgate_client.__all__)


def test_nothing_public_is_left_out():
    offered = {
        name
        for name, value in vars(wildgate_client).items()
        if not name.startswith("_") and not isinstance(value, type(pytest))
    }
    assert offered == set(wildgate_client.__all__)


def test_every_error_stands_in_the_drawing_at_the_top():
    assert [name for name in errors.__all__ if name not in (errors.__doc__ or "")] == []
