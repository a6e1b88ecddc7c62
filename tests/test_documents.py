"""Texts that anybody may have written: read, or a ValueError, whatever they hold."""

import pytest

from darkroom import documents


def test_what_is_sound_is_read():
    assert documents.from_toml('a = 1\n[b]\nc = "d"') == {"a": 1, "b": {"c": "d"}}
    assert documents.from_json('{"a": [1, null]}') == {"a": [1, None]} == documents.from_json(b'{"a": [1, null]}')


@pytest.mark.parametrize("text", ["a = ", "a = " + "[" * 100000, "a = " + "9" * 5000, "\x00"])
def test_toml_that_is_none_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011  that it is one is all that is promised
        documents.from_toml(text)


@pytest.mark.parametrize("text", ["", "{", "[" * 100000, '{"a":' * 100000, "9" * 5000, b"\xff\xfe\x00"])
def test_json_that_is_none_is_a_value_error(text):
    with pytest.raises(ValueError):  # noqa: PT011
        documents.from_json(text)


@pytest.mark.parametrize("read", [documents.from_toml, documents.from_json])
def test_what_is_nested_by_the_thousand_is_said_to_be(read):
    with pytest.raises(ValueError, match="^nested too deep$"):
        read(("a = " if read is documents.from_toml else "") + "[" * 100000)
