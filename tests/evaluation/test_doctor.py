"""``badllmtg doctor``: what it looks at, how long it takes, and what it must never tell."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from openbackdoor_badllm.cli import main
from openbackdoor_badllm.evaluation import doctor
from openbackdoor_badllm.evaluation.doctor import examine

SECRET = "s3cret-sentinel-8f1c"
KEYS = ["versions", "extras", "host", "victim", "device", "hub", "llm", "data", "cache"]


class Network:
    """Stands in for ``urlopen``; nothing is ever reached."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.answer: Callable[[], Any] = self.offline

    @staticmethod
    def offline() -> Any:
        raise URLError(OSError(-2, "Name or service not known"))

    def __call__(self, request: Any, timeout: float = 99) -> Any:
        assert timeout <= 5
        self.asked.append(request.full_url)
        return self.answer()


@pytest.fixture
def network(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Network:
    for name in ("OPENAI_BASE_URL", "OPENAI_API_KEY", "HF_ENDPOINT", "HF_HUB_OFFLINE", "OPENBACKDOOR_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("BADLLMTG_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    made = Network()
    monkeypatch.setattr(doctor, "urlopen", made)
    return made


def test_json_has_every_key_and_is_quick(network: Network, capsys: pytest.CaptureFixture[str]) -> None:
    began = time.monotonic()
    assert main(["doctor", "--json"]) == 0
    assert time.monotonic() - began < 5
    told = capsys.readouterr()
    found = json.loads(told.out)
    assert list(found) == KEYS
    assert told.err == ""
    assert found["hub"] == "does not answer ([Errno -2] Name or service not known)"
    assert found["llm"].startswith("none configured (OPENAI_BASE_URL is not set, no key is set)")
    assert found["host"] == "built-in; OpenBackdoor is not installed"
    assert network.asked == ["https://huggingface.co"]


@pytest.mark.parametrize("form", [[], ["--json"]])
@pytest.mark.parametrize(
    "base",
    [
        "http://host.example/v1",
        f"http://user:{SECRET}@host.example/v1",
        f"https://{SECRET}@host.example:8443/v1",
        f"https://host.example/v1?key={SECRET}#{SECRET}",
        f"http://user:{SECRET}@host.example:port/v1",
        f"http://user:{SECRET}@[::1]:8000/v1",
        f"http://[{SECRET}",
        f"{SECRET}@host.example",
        f"user:{SECRET}@host.example/v1",
    ],
)
def test_secrets_are_never_told(
    base: str, form: list[str], network: Network, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv("OPENAI_BASE_URL", base)
    monkeypatch.setenv("HF_ENDPOINT", base)
    assert main(["doctor", *form]) == 0
    told = capsys.readouterr()
    assert SECRET not in told.out + told.err
    assert "a key is set" in told.out.replace("\n", " ")
    assert not any(SECRET in url for url in network.asked)


def test_real_urlopen_takes_the_address_without_its_user(network: Network, monkeypatch: pytest.MonkeyPatch) -> None:
    from urllib.request import urlopen

    monkeypatch.setattr(doctor, "urlopen", urlopen)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://user:{SECRET}@127.0.0.1:1/v1")
    told = examine()["llm"]
    assert told.startswith("http://127.0.0.1:1/v1: does not answer (")
    assert SECRET not in told
