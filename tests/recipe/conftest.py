import pytest
import ray

from sage.toy.embedded.build_data import build


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Training and test file for a launch script; a folder to write to."""
    folder = tmp_path_factory.mktemp("data")
    build(folder, seed=0, train={"easy": 48, "medium": 48, "hard": 64}, test=4)
    return folder


@pytest.fixture(autouse=True)
def kept(monkeypatch):
    """What the watch keeps in Ray's store, by name; the first call of the store itself would start a Ray."""
    kept = {}
    monkeypatch.setattr("recipe.sage.watch._put", kept.__setitem__)
    monkeypatch.setattr("recipe.sage.watch._get", kept.get)
    yield kept
    assert not ray.is_initialized(), "this test has started Ray"
