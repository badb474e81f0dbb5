"""API keys of endpoints, read from an environment variable only."""

from __future__ import annotations

import ipaddress
import logging
import os
import re
from collections.abc import Mapping
from urllib.parse import urlsplit, urlunsplit

from openbackdoor_badllm.errors import ConfigError

logger = logging.getLogger(__name__)

OPENAI_URL = "https://api.openai.com/v1"

LITERAL_KEY_NAMES = frozenset(
    {
        *("api_key", "apikey", "openai_api_key", "key", "token", "access_token", "auth", "authorization"),
        *("bearer", "secret", "password", "passwd", "credentials"),
        *("headers", "default_headers", "extra_headers"),
    }
)
"""Config keys under which people write the key itself."""

_VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]{0,63}")
_KEY_SHAPE = re.compile(r"(?:sk|pk|rk|gsk|xai|hf|ghp)[-_][A-Za-z0-9_-]{12,}|AIza[0-9A-Za-z_-]{20,}|(?i:bearer\s).+")

LITERAL_KEY_SENTENCE = (
    "'{name}' holds a key, and a key must not stand in a config: put it into an environment variable "
    'and name that variable, for instance "api_key_env": "OPENAI_API_KEY".'
)


def looks_like_key(value: object) -> bool:
    """True for a string that has the shape of an API key."""
    return isinstance(value, str) and _KEY_SHAPE.fullmatch(value.strip()) is not None


def check_variable_name(name: str) -> None:
    """Refuses what cannot be the name of an environment variable, without repeating it.

    Raises:
        ConfigError: it is a literal key, or not in capital letters, digits and underscores.
    """
    if looks_like_key(name) or not _VARIABLE.fullmatch(name):
        raise ConfigError(
            "llm.api_key_env must be the name of an environment variable in capital letters, digits "
            'and underscores, for instance "OPENAI_API_KEY"; a key itself is refused, and not shown.'
        )


def clean_url(url: str) -> str:
    """A base_url without user info and without a slash at its end.

    Raises:
        ConfigError: it is not an http(s) address, or it holds a query.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
    except ValueError:
        parts, port = urlsplit(""), None
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ConfigError(
            "llm.base_url must be an address such as http://localhost:8000/v1 or https://api.openai.com/v1."
        )
    if parts.query or parts.fragment:
        raise ConfigError(
            "llm.base_url must not hold a query ('?...') or a fragment: they end up in logs, keys included."
        )
    if parts.username or parts.password:
        logger.warning("llm.base_url: the user info before '@' was cut; keys belong into llm.api_key_env.")
    host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
    place = host if port is None else f"{host}:{port}"
    return urlunsplit((parts.scheme, place, parts.path.rstrip("/"), "", ""))


def is_loopback(url: str) -> bool:
    """True where the server runs on this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def read_key(variable: str | None, base_url: str, environment: Mapping[str, str] = os.environ) -> str | None:
    """The key for an endpoint, or None where it needs none.

    A server on this machine needs none, and another one may need none (vLLM on the next machine), so
    only OpenAI's own address insists on one. What is wrong with a key is said without showing it.

    Args:
        variable: name of the environment variable, or None.
        base_url: address of the endpoint.
        environment: where to look it up.

    Raises:
        ConfigError: the variable is not set, or its value cannot stand in an HTTP header.
    """
    if variable is None:
        if urlsplit(base_url).hostname == urlsplit(OPENAI_URL).hostname:
            raise ConfigError(
                f"{OPENAI_URL} needs a key: put it into an environment variable and name that variable "
                'in the config, for instance "api_key_env": "OPENAI_API_KEY".'
            )
        return None
    value = environment.get(variable, "").strip()
    if not value:
        if is_loopback(base_url):
            logger.info("%s is not set; the server is on this machine and is asked without a key.", variable)
            return None
        raise ConfigError(
            f"The environment variable {variable} (llm.api_key_env) is not set: run  export {variable}=...  first."
        )
    if not value.isascii() or not value.isprintable() or " " in value:
        raise ConfigError(
            f"The key in the environment variable {variable} holds a space, a line break or a letter that "
            "cannot stand in an HTTP header: was more than the key copied?"
        )
    return value
