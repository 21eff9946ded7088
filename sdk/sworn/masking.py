"""Text with its URLs masked: providers' keys, passwords and signatures are parts of them, and texts get everywhere."""

from __future__ import annotations

import re
from typing import Any, Final
from urllib.parse import parse_qsl, unquote, urlsplit

MASK: Final = "***"
# Any scheme: what is fetched, stored and connected to by URL changes faster than a list of schemes. Content ids are
# public. SAFETY: the scheme is bounded, as strangers choose texts that end up here.
_URL: Final = re.compile(r"\b(?!(?:ipfs|ipns)://)[a-z][a-z0-9+.\-]{0,30}://[^\s'\"<>)\]}]+", re.IGNORECASE)
# HTTP clients put the path of a URL, where keys are, into their messages without its host.
_URL_PATH: Final = re.compile(r"(?<=with url: )\S+")
#: Shorter parts of a path are words such as "v3" and "rpc".
_SHORTEST_KEY: Final = 8
#: Masking shorter ones would make a riddle of every message.
_SHORTEST_SECRET: Final = 4


def mask_url(url: str) -> str:
    """Scheme, host and port of a URL; path, query and credentials, where keys hide, are masked."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        # Strangers choose URLs that end up in logs: one that is malformed must not stop the logging.
        return MASK
    hidden = parts.path.strip("/") or parts.query or parts.username or parts.password
    return f"{parts.scheme}://{parts.hostname or MASK}{port}" + (f"/{MASK}" if hidden else "")


def masked_text(text: str) -> str:
    """A text with every URL in it masked."""
    if "://" not in text and "url: " not in text:
        return text
    return _URL_PATH.sub(MASK, _URL.sub(lambda match: mask_url(match.group()), text))


def url_secrets(url: str) -> tuple[str, ...]:
    """What may be secret in a URL, as written and as meant, the longest first: to be masked where others repeat it."""
    try:
        parts = urlsplit(url)
        credentials = [parts.username or "", parts.password or ""]
    except ValueError:
        return (url,)
    keys = [segment for segment in parts.path.split("/") if len(segment) >= _SHORTEST_KEY]
    written = {*credentials, *keys, *(value for _, value in parse_qsl(parts.query))}
    found = {form for each in written for form in (each, unquote(each)) if len(form) >= _SHORTEST_SECRET}
    return tuple(sorted(found, key=lambda each: (-len(each), each)))


def masked_answer(answer: Any, secrets: tuple[str, ...]) -> Any:
    """What somebody else has said, of texts, lists and mappings: without these secrets, and with its URLs masked."""
    if isinstance(answer, str):
        for secret in secrets:
            answer = answer.replace(secret, MASK)
        return masked_text(answer)
    if isinstance(answer, list):
        return [masked_answer(each, secrets) for each in answer]
    if isinstance(answer, dict):
        return {name: masked_answer(each, secrets) for name, each in answer.items()}
    return answer
