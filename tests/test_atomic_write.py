"""A file is there whole or as it was before."""

import pytest

from latentsync_core.atomic_write import atomic_write


def test_a_file_appears_whole_and_a_failure_leaves_the_one_before(tmp_path):
    path = tmp_path / "state.pt"
    with atomic_write(path) as temporary:
        temporary.write_bytes(b"first")
        assert not path.exists() and temporary.suffix == ".pt"
    with pytest.raises(ZeroDivisionError), atomic_write(path) as temporary:
        temporary.write_bytes(b"half of the sec")
        raise ZeroDivisionError
    assert path.read_bytes() == b"first" and list(tmp_path.iterdir()) == [path]
