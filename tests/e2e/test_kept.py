"""The campaign of tests/fault in short, without killing the database, which other tests use too."""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "fault"))

import kept  # noqa: E402


def test_what_was_acknowledged_is_kept(capsys):
    wrong = kept.campaign(seconds=4, writers=8, plain=False)
    said = capsys.readouterr().out
    assert wrong == {}, said
    assert "acknowledged 0," not in said, said
