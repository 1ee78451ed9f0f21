"""Where the one-machine stack lives and what it is made of, read once from the environment."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from local.failures import LocalError

MINISTACK = "ministack[full]==1.5.33"
SAM_CLI = "aws-sam-cli==1.170.0"
ROOT = Path(__file__).resolve().parent.parent
REGION = "us-east-1"
STACK_NAME = "spandrel"
LOCAL_MODEL = "wordllama-256"
LOCAL_MODEL_DIMENSIONS = 256
LOCAL_CHAT_MODEL = "spandrel-stand-in"
CHAT_MODEL = "gpt-5.6-luna"
KNOWN_DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072, "text-embedding-ada-002": 1536}


@dataclass(frozen=True, slots=True)
class Provider:
    """Who embeds and who answers: the models, and an address and key (`base_url` empty: OpenAI's own)."""

    model: str
    dimensions: int
    chat_model: str
    base_url: str
    api_key: str
    local: bool


@dataclass(frozen=True, slots=True)
class Config:
    """One stack. `home` holds all of its state; two stacks with other homes and ports run side by side."""

    home: Path
    port: int
    provider: Provider
    root: Path = ROOT

    @property
    def model_port(self) -> int:
        return self.port + 1

    @property
    def endpoint(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def execute_api(self) -> str:
        """Where the emulator serves APIs by their ids, without a scheme: HTTP and WebSocket alike."""
        return f"127.0.0.1:{self.port}/_aws/execute-api"

    @property
    def logs(self) -> Path:
        return self.home / "logs"

    @property
    def stack_file(self) -> Path:
        return self.home / "stack.json"

    @property
    def processes_file(self) -> Path:
        return self.home / "processes.json"

    @property
    def progress_file(self) -> Path:
        return self.home / "progress.jsonl"

    @property
    def deploy_dir(self) -> Path:
        """What `sam deploy` sees: the template and, beside it, what its paths point at."""
        return self.home / "deploy"

    @property
    def code_dir(self) -> Path:
        """What the deployed layer links to: our package and the migrations."""
        return self.home / "code"


def load(env: Mapping[str, str] | None = None) -> Config:
    env = os.environ if env is None else env
    port = _number(env, "SPANDREL_LOCAL_PORT", 4566)
    if not 1024 <= port <= 65000:
        raise LocalError(f"SPANDREL_LOCAL_PORT is {port}: choose a port from 1024 to 65000")
    home = Path(env.get("SPANDREL_LOCAL_DIR") or ".local").expanduser()
    home = (home if home.is_absolute() else ROOT / home).resolve()
    return Config(home=home, port=port, provider=_provider(env, port))


def _provider(env: Mapping[str, str], port: int) -> Provider:
    """OpenAI or what speaks like it when the environment names one, else the model server of this folder."""
    base_url, api_key = env.get("OPENAI_BASE_URL", ""), env.get("OPENAI_API_KEY", "")
    if not base_url and not api_key:
        own = f"http://127.0.0.1:{port + 1}/v1"
        return Provider(LOCAL_MODEL, LOCAL_MODEL_DIMENSIONS, LOCAL_CHAT_MODEL, own, "local", local=True)
    model = env.get("SPANDREL_EMBEDDING_MODEL") or "text-embedding-3-small"
    dimensions = _number(env, "SPANDREL_EMBEDDING_DIMENSIONS", KNOWN_DIMENSIONS.get(model, 0))
    if not dimensions:
        raise LocalError(f"set SPANDREL_EMBEDDING_DIMENSIONS to the length of {model}'s vectors")
    chat_model = env.get("SPANDREL_CHAT_MODEL") or CHAT_MODEL
    return Provider(model, dimensions, chat_model, base_url, api_key or "none", local=False)


def _number(env: Mapping[str, str], name: str, default: int) -> int:
    try:
        return int(env.get(name) or default)
    except ValueError:
        raise LocalError(f"{name} must be a whole number, not {env[name]!r}") from None
