"""Lambda takes 4 KB of environment variables a function, and says so in the middle of a deployment.

https://docs.aws.amazon.com/lambda/latest/dg/configuration-envvars.html
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from spandrel.usage.prices import PriceTable
from tests.contract.test_template import DOCUMENT, FUNCTIONS, RESOURCES

LIMIT = 4096
PARAMETERS: dict[str, dict[str, Any]] = DOCUMENT["Parameters"]
SHARED: dict[str, Any] = DOCUMENT["Globals"]["Function"]["Environment"]["Variables"]
REGION = "ap-southeast-1"  # no region has a longer name, bar those of other partitions
STACK = 47  # characters; a function's name is the stack's and up to 17 more, of 64 in all
# What CloudFormation makes of names and identifiers, at its longest.
VALUES = {
    "AWS::Region": REGION,
    "AWS::URLSuffix": "amazonaws.com",
    "AWS::StackName": "s" * STACK,
    "Bucket": "b" * 63,
    "WebSocketApi": "a" * 10,
    "SecretsKey.Arn": f"arn:aws:kms:{REGION}:123456789012:key/{'k' * 36}",
    "Database.Endpoint.Address": "d" * 150,
    "Database.MasterUserSecret.SecretArn": "m" * 150,
    "DatabaseProxyServer.Endpoint": "p" * 150,
} | {
    f"{name}Queue": f"https://sqs.{REGION}.amazonaws.com/123456789012/{'q' * 80}"
    for name in ("Document", "Turn", "Broadcast")
}


def prices(length: int) -> str:
    """A price table of that length. Every quotation mark in it counts twice: Lambda measures JSON."""
    models: dict[str, Any] = {}
    while len(table := json.dumps({"models": models}, separators=(",", ":"))) <= length:
        models[f"model-{len(models):03d}"] = {"input": "0.15", "cached": "0.075", "output": "0.6"}
        longest = table
    return longest


def longest(name: str) -> str:
    """The longest value that a parameter takes. One without an end to it fails here."""
    parameter = PARAMETERS[name]
    if name == "Prices":
        return prices(parameter["MaxLength"])
    if "AllowedValues" in parameter:
        return max(map(str, parameter["AllowedValues"]), key=len)
    if parameter["Type"] == "Number":
        return str(parameter["MaxValue"])
    if found := re.fullmatch(r"\[a-z\]\[a-z0-9_\]\{0,(\d+)\}", parameter.get("AllowedPattern", "")):
        return "x" * (1 + int(found[1]))
    return "x" * int(parameter["MaxLength"])


def value(given: Any, one_machine: bool) -> str:
    """A variable's value at its longest. A condition that both kinds of stack share takes its longer branch."""
    if isinstance(given, str | int):
        return str(given)
    if "Ref" in given:
        return VALUES[given["Ref"]] if given["Ref"] in VALUES else longest(given["Ref"])
    if "Fn::GetAtt" in given:
        return VALUES[given["Fn::GetAtt"]]
    if "Fn::Sub" in given:
        return re.sub(r"\$\{([\w.:]+)\}", lambda found: value({"Ref": found[1]}, one_machine), given["Fn::Sub"])
    condition, yes, no = given["Fn::If"]
    if condition == "DatabaseByUrl":
        return value(yes if one_machine else no, one_machine)
    if condition == "SealByKms":
        return value(no if one_machine else yes, one_machine)
    if one_machine and condition in ("CreateDatabase", "CreateProxy"):
        return value(no, one_machine)
    return max(value(yes, one_machine), value(no, one_machine), key=len)


@pytest.mark.parametrize("one_machine", [False, True], ids=["aws", "one-machine"])
@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_environment_fits_with_every_parameter_at_its_longest(function: str, one_machine: bool) -> None:
    given = SHARED | FUNCTIONS[function].get("Environment", {}).get("Variables", {})
    unused = set() if one_machine else {"SPANDREL_DATABASE_URL", "SPANDREL_SECRET_KEY"}
    environment = {name: "" if name in unused else value(it, one_machine) for name, it in given.items()}
    assert len(json.dumps(environment, separators=(",", ":"))) <= LIMIT


def test_a_price_table_that_is_too_long_is_refused_with_what_to_do() -> None:
    parameter = PARAMETERS["Prices"]
    assert "usage/prices.json" in parameter["ConstraintDescription"]
    table = prices(parameter["MaxLength"])
    assert json.loads(table)["models"].keys() <= PriceTable.load(table).models.keys()
    assert len(json.loads(table)["models"]) >= 12
    pattern = parameter["AllowedPattern"]
    assert all(re.fullmatch(pattern, table) for table in ("", '{"models":{"a/b":{"input":"0.1"}}}'))
    # The second is what SAM CLI leaves of a table that is not in quotes.
    assert not any(re.fullmatch(pattern, table) for table in ("prices.json", "{"))


def test_who_prices_a_call_has_the_prices() -> None:
    """And nobody else, so that there is room for them."""
    has = {name for name, it in FUNCTIONS.items() if "SPANDREL_PRICES" in it["Environment"]["Variables"]}
    asks_models = {name for name, it in FUNCTIONS.items() if "ReadModelSecret" in str(it["Policies"])}
    assert has == asks_models | {"MigrateFunction"}  # which checks them
    assert RESOURCES["Migrations"]["Properties"]["Prices"] == {"Ref": "Prices"}
    assert "SPANDREL_PRICES" not in SHARED
