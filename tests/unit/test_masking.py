"""Texts that others have written, before they are shown or kept."""

from __future__ import annotations

import pytest

from sworn.masking import masked_answer, masked_text, url_secrets

URL = "https://user:pass%2Fword@node.example:8443/v3/0123456789abcdef?key=query-secret&x=1"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("nothing to hide", "nothing to hide"),
        (f"GET {URL} failed", "GET https://node.example:8443/*** failed"),
        ("Max retries exceeded with url: /v3/0123456789abcdef (x)", "Max retries exceeded with url: *** (x)"),
        ("postgresql://u:pa/ss@host/db", "***"),
        ("ipfs://bafy/model.onnx", "ipfs://bafy/model.onnx"),
    ],
)
def test_text_is_shown_with_its_urls_masked(text: str, shown: str) -> None:
    """Vendors put URLs into their messages, and messages get into logs."""
    assert masked_text(text) == shown


def test_answer_that_repeats_a_url_loses_its_secrets() -> None:
    """A provider names the key that it does not know, without the URL around it; what it says besides is left."""
    answer = {"code": -32002, "message": "unknown key 0123456789abcdef", "data": ["user pass/word", "query-secret"]}
    assert masked_answer(answer, url_secrets(URL)) == {
        "code": -32002,
        "message": "unknown key ***",
        "data": ["*** ***", "***"],
    }


def test_words_of_a_path_are_no_secrets() -> None:
    """Masking "v3" or "rpc" would make a riddle of every error."""
    assert url_secrets("http://127.0.0.1:8545/v3/rpc?n=1") == ()
    assert masked_answer({"message": "execution reverted", "data": "0x08c379a0"}, ()) == {
        "message": "execution reverted",
        "data": "0x08c379a0",
    }


def test_url_that_cannot_be_read_is_a_secret_as_a_whole() -> None:
    """Where it is not known which part is the password, all of it is one."""
    assert url_secrets("http://user:secret@h℀st/") == ("http://user:secret@h℀st/",)
