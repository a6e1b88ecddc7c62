"""What the processor is called."""

import pytest

from darkroom import processor


@pytest.fixture(autouse=True)
def asked_anew():
    """Ask the system, not what an earlier test heard; nor may a later test hear this one's."""
    processor.name.cache_clear()
    yield
    processor.name.cache_clear()


@pytest.mark.parametrize(
    ("listing", "name", "amd"),
    [
        ("processor\t: 0\nmodel name\t: AMD EPYC 9R14\nmodel name\t: other\n", "AMD EPYC 9R14", True),
        ("vendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R) Processor\n", "Intel(R) Xeon(R) Processor", False),
        ("Hardware\t: BCM2835\n", "the system's word", False),
    ],
)
def test_linux_lists_it(tmp_path, monkeypatch, listing, name, amd):
    monkeypatch.setattr(processor, "LISTING", tmp_path / "cpuinfo")
    monkeypatch.setattr(processor.platform, "processor", lambda: "the system's word")
    (tmp_path / "cpuinfo").write_text(listing)
    assert processor.name() == name and processor.is_amd() is amd


@pytest.mark.parametrize(
    ("word", "name", "amd"),
    [
        (
            "AMD64 Family 25 Model 97 Stepping 2, AuthenticAMD",
            "AMD64 Family 25 Model 97 Stepping 2, AuthenticAMD",
            True,
        ),
        ("Intel64 Family 6 Model 183 Stepping 1, GenuineIntel",) * 2 + (False,),
        ("", "arm64", False),
    ],
)
def test_elsewhere_the_system_says_it(tmp_path, monkeypatch, word, name, amd):
    monkeypatch.setattr(processor, "LISTING", tmp_path / "none")
    monkeypatch.setattr(processor.platform, "processor", lambda: word)
    monkeypatch.setattr(processor.platform, "machine", lambda: "arm64")
    assert processor.name() == name and processor.is_amd() is amd
