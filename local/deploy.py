"""Stages the code and deploys the repository's own template onto the emulator with the real SAM CLI.

The template is copied beside a `.build` folder of this stack, so its relative paths hold and it stays byte for byte
the one that goes to AWS. The layer that it deploys here holds a link (a `.pth` file) instead of copies: the emulator
unpacks a layer for every worker, and through the link a changed file is live without publishing a layer.
"""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from local import build, emulator, push, tools
from local.config import REGION, STACK_NAME
from local.failures import LocalError

if TYPE_CHECKING:
    from pathlib import Path

    from local.config import Config


@dataclass(frozen=True, slots=True)
class Staged:
    """What lies ready: the functions, a hash of what only a deployment can change, a hash of the code."""

    functions: list[str]
    shape: str
    code: str


def stage(config: Config) -> Staged:
    """Stages functions, layer and template."""
    root, build_dir = config.root, config.deploy_dir / ".build"
    build.check(root)
    functions = build.stage_functions(root, build_dir / "functions")
    if not functions:
        raise LocalError("there are no functions in functions/: is this the repository's root?")
    build.stage_code(root, config.code_dir)
    dependencies = build.local_dependencies(root, root / ".build" / "local")
    shutil.copy(root / "template.yaml", config.deploy_dir / "template.yaml")
    shape = build.digest([root / "template.yaml", root / "uv.lock"]) + ",".join(functions)
    code = build.digest([root / name for name in ("functions", "layers/shared", "migrations")])
    _stage_link(config, build_dir / "layer", dependencies, code)
    return Staged(functions, shape, code)


def run(config: Config, staged: Staged, database_url: str) -> dict[str, str]:
    """Brings the emulator to what is staged, in the cheapest way that does; returns the stack's outputs.

    The same template with other code needs no deployment. After one, the code is given to the functions in any case:
    the stack may remember as its own what was replaced behind its back.
    """
    parameters, marker = _parameters(config, database_url), config.home / "deployed.json"
    shape, known = json.dumps([staged.shape, parameters], sort_keys=True), _known(marker)
    outputs = outputs_of(config) if known.get("shape") == shape else {}
    if outputs and known.get("code") == staged.code:
        return outputs
    marker.unlink(missing_ok=True)
    if not outputs:
        _sam_deploy(config, parameters)
        outputs = outputs_of(config)
        if not outputs:
            raise LocalError("the deployment left no stack behind", config.logs / "deploy.log")
    if known:
        push.push(config, staged.functions, database_url)
    marker.write_text(json.dumps({"shape": shape, "code": staged.code}))
    return outputs


def _known(marker: Path) -> dict[str, str]:
    try:
        return dict(json.loads(marker.read_text()))
    except (OSError, ValueError):
        return {}


def outputs_of(config: Config) -> dict[str, str]:
    """The outputs of the deployed stack; empty if there is none that is whole."""
    formation = emulator.client(config, "cloudformation")
    try:
        stack = formation.describe_stacks(StackName=STACK_NAME)["Stacks"][0]
    except formation.exceptions.ClientError:
        return {}
    if stack["StackStatus"] not in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}:
        return {}
    return {row["OutputKey"]: row["OutputValue"] for row in stack.get("Outputs", [])}


def _stage_link(config: Config, layer: Path, dependencies: Path, digest: str) -> None:
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = layer / "python" / "lib" / version / "site-packages"
    shutil.rmtree(layer, ignore_errors=True)
    packages.mkdir(parents=True)
    # In front of the emulator's own packages, as a layer stands in front of the runtime's.
    paths = [str(config.code_dir), str(dependencies)]
    (packages / "spandrel-local.pth").write_text(f"import sys; sys.path[:0] = {paths!r}\n")
    # Makes a change of the code a change of the layer, which is what runs the migrations again.
    (layer / "python" / "BUILD").write_text(digest)


def _parameters(config: Config, database_url: str) -> dict[str, str]:
    provider = config.provider
    return {
        "DatabaseUrl": database_url,
        "EmbeddingModel": provider.model,
        "EmbeddingDimensions": str(provider.dimensions),
        "ChatModel": provider.chat_model,
        "OpenAiBaseUrl": provider.base_url,
        "OpenAiApiKey": provider.api_key,
        "ExecuteApiAddress": config.execute_api,
        "Architecture": "x86_64",
        # Each worker is a process of this machine.
        "IngestConcurrency": "2",
        "TurnConcurrency": "2",
        "LogLevel": "INFO",
        "SecretKey": _secret_key(config),
        # Servers of one's own machine may be integrations of it.
        "AllowLoopback": "true",
        "HealthCheckConcurrency": "50",
    }


def _secret_key(config: Config) -> str:
    """What seals the secrets of integrations, made once for each stack's home."""
    path = config.home / "secret-key"
    if not path.is_file():
        path.touch(mode=0o600)
        path.write_text(base64.b64encode(os.urandom(32)).decode())
    return path.read_text()


def _sam_deploy(config: Config, parameters: dict[str, str]) -> None:
    overrides = [f'ParameterKey={name},ParameterValue="{value}"' for name, value in parameters.items()]
    command = [*tools.sam(), "deploy", "--template-file", "template.yaml", "--stack-name", STACK_NAME]
    command += ["--region", REGION, "--resolve-s3", "--capabilities", "CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND"]
    command += ["--no-confirm-changeset", "--no-fail-on-empty-changeset"]
    log = config.logs / "deploy.log"
    env = tools.clean_environment(AWS_ENDPOINT_URL=config.endpoint, SAM_CLI_POLL_DELAY="0.5")
    with log.open("ab") as output:
        done = subprocess.run(
            [*command, "--parameter-overrides", *overrides],
            cwd=config.deploy_dir,
            env=env,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            check=False,
        )
    if done.returncode:
        raise LocalError(f"the deployment failed ({_reason(config, log)}): mend it and run again", log)


def _reason(config: Config, log: Path) -> str:
    """The first resource that failed and why; without one, the last error that SAM CLI printed."""
    formation, reason = emulator.client(config, "cloudformation"), ""
    try:
        events = formation.describe_stack_events(StackName=STACK_NAME)["StackEvents"]
    except formation.exceptions.ClientError:
        events = []
    for event in events:  # the newest first
        name, status = event["LogicalResourceId"], event["ResourceStatus"]
        if name == STACK_NAME and status in {"CREATE_IN_PROGRESS", "UPDATE_IN_PROGRESS"}:
            break
        if status.endswith("_FAILED") and name != STACK_NAME:
            reason = f"{name}: {event.get('ResourceStatusReason', status)}"
    if reason:
        return reason[:300]
    lines = [line.strip() for line in log.read_text(errors="replace").splitlines() if "Error" in line]
    return (lines[-1] if lines else "sam deploy gave no reason")[:300]
