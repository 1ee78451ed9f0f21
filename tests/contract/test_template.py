"""What AWS demands of the template and an emulator forgives. Each test names the rule that it holds."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

TEMPLATE = Path(__file__).parents[2] / "template.yaml"


class _Loader(yaml.SafeLoader):
    """Short forms of intrinsic functions become their long ones."""


def _long_form(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        value: Any = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        value = loader.construct_mapping(node, deep=True)
    return {suffix if suffix in ("Ref", "Condition") else f"Fn::{suffix}": value}


_Loader.add_multi_constructor("!", _long_form)
DOCUMENT: dict[str, Any] = yaml.load(TEMPLATE.read_text(encoding="utf-8"), _Loader)
RESOURCES: dict[str, dict[str, Any]] = DOCUMENT["Resources"]
FUNCTIONS = {name: it["Properties"] for name, it in RESOURCES.items() if it["Type"] == "AWS::Serverless::Function"}
EVENTS = [(name, event) for name, it in FUNCTIONS.items() for event in it.get("Events", {}).values()]


def refers(value: Any) -> set[str]:
    """The logical ids that a value names."""
    if isinstance(value, dict):
        named = {str(value["Ref"])} if "Ref" in value else set()
        named |= {str(value["Fn::GetAtt"]).split(".")[0]} if "Fn::GetAtt" in value else set()
        sub = value.get("Fn::Sub", "")
        named |= {each.split(".")[0] for each in re.findall(r"\$\{([\w.]+)\}", str(sub))}
        return named.union(*map(refers, value.values()))
    return set().union(*map(refers, value)) if isinstance(value, list) else set()


def test_a_preflight_is_asked_for_no_token() -> None:
    """A browser sends OPTIONS without one, and a guarded ANY takes OPTIONS too where no route of its own does.

    https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-cors.html
    """
    routes = [event["Properties"] for _, event in EVENTS if event["Type"] == "HttpApi"]
    keys = {(route["Method"], route["Path"]): route.get("Auth", {}).get("Authorizer") for route in routes}
    assert all(keys["OPTIONS", path] == "NONE" for method, path in keys if method == "ANY")


def test_a_second_stack_of_an_account_can_have_its_own_schedules() -> None:
    """SAM names a schedule by its logical id where it is given no name, and all are in the account's default group."""
    schedules = [event["Properties"] for _, event in EVENTS if event["Type"] == "ScheduleV2"]
    assert schedules
    names = [schedule["Name"]["Fn::Sub"] for schedule in schedules]
    assert all(name.startswith("${AWS::StackName}-") for name in names)
    assert len({*names}) == len(names)


def test_the_way_out_outlives_what_answers_over_it() -> None:
    """CloudFormation deletes what nothing names first; the schema's last answer goes out through route, NAT and S3."""
    ways = {"AWS::EC2::Route", "AWS::EC2::SubnetRouteTableAssociation", "AWS::EC2::VPCEndpoint"}
    needed = {name for name, it in RESOURCES.items() if it["Type"] in ways}
    assert needed <= refers(RESOURCES["Migrations"]["Properties"])


def test_alarms_may_publish_to_their_topic() -> None:
    """CloudWatch may not use the key behind alias/aws/sns, and says so nowhere but in the alarm's history.

    https://docs.aws.amazon.com/sns/latest/dg/sns-key-management.html#compatibility-with-aws-services
    """
    assert RESOURCES["AlarmTopic"]["Properties"].get("KmsMasterKeyId") != "alias/aws/sns"


def actions(function: str) -> set[str]:
    """What a function's own statements allow it."""
    found: set[str] = set()
    for policy in FUNCTIONS[function]["Policies"]:
        for statement in policy.get("Statement", []):
            found |= {statement["Action"]} if isinstance(statement["Action"], str) else set(statement["Action"])
    return found


@pytest.mark.parametrize("function", ["Api", "DocumentIngest", "KnowledgeUpkeep", "HealthCheck"])
def test_who_removes_documents_may_remove_every_version_of_their_objects(function: str) -> None:
    """An object of a versioned bucket is gone when its versions are, and they must be listed for that."""
    needed = {"s3:ListBucketVersions", "s3:DeleteObject", "s3:DeleteObjectVersion"}
    assert needed <= actions(f"{function}Function")


def test_who_sends_to_a_queue_that_calls_it_may_go_round() -> None:
    """Lambda stops what it takes for a loop at the sixteenth call of a chain, and the message is lost to the function.

    https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html
    """
    queues = {name: refers(event["Properties"]["Queue"]) for name, event in EVENTS if event["Type"] == "SQS"}
    shared = {"BroadcastQueue": "TellNews"}
    sends = {
        name
        for name, queue in queues.items()
        for policy in FUNCTIONS[name]["Policies"]
        if ("sqs:SendMessage" in str(policy) and queue & refers(policy)) or refers(policy) & {shared.get(*queue, "-")}
    }
    assert sends == {"DocumentIngestFunction", "EventBroadcastFunction"}
    assert {name for name in sends if FUNCTIONS[name].get("RecursiveLoop") != "Allow"} == set()


def test_a_scheduled_run_that_failed_is_not_repeated() -> None:
    """A schedule's retries are of the call; Lambda repeats what failed afterwards unless the function says not to."""
    scheduled = {name for name, event in EVENTS if event["Type"] == "ScheduleV2"}
    assert scheduled
    assert all(FUNCTIONS[name]["EventInvokeConfig"]["MaximumRetryAttempts"] == 0 for name in scheduled)


def statements(policy: str) -> list[dict[str, Any]]:
    """The statements of a managed policy, conditional ones with their condition under "if"."""
    found = []
    for each in RESOURCES[policy]["Properties"]["PolicyDocument"]["Statement"]:
        condition, statement, _ = each.get("Fn::If", (None, each, None))
        found.append(statement | {"if": condition})
    return found


@pytest.mark.parametrize(
    ("policy", "secret", "key"),
    [
        ("ReadModelSecret", "OpenAiSecretArn", "OpenAiSecretKmsKeyArn"),
        ("ReadAdminSecret", "DatabaseAdminSecretArn", "DatabaseAdminSecretKmsKeyArn"),
    ],
)
def test_a_secret_under_a_key_of_ones_own_can_be_read(policy: str, secret: str, key: str) -> None:
    """Reading one needs kms:Decrypt as well, unless its key is AWS's own; it is given for that secret and no other use.

    https://docs.aws.amazon.com/secretsmanager/latest/userguide/security-encryption.html#security-encryption-authz
    """
    [decrypt] = [each for each in statements(policy) if each["Action"] == "kms:Decrypt"]
    assert decrypt["Resource"] == {"Ref": key}
    assert decrypt["Condition"] == {
        "StringEquals": {
            "kms:ViaService": {"Fn::Sub": "secretsmanager.${AWS::Region}.${AWS::URLSuffix}"},
            "kms:EncryptionContext:SecretARN": {"Ref": secret},
        }
    }
    condition = DOCUMENT["Conditions"][decrypt["if"]]
    assert {"Fn::Not": [{"Fn::Equals": [{"Ref": key}, ""]}]} in condition["Fn::And"]
    pattern = DOCUMENT["Parameters"][key]["AllowedPattern"]
    arn = "arn:aws:kms:eu-central-1:111122223333:"
    assert re.fullmatch(pattern, "")
    assert re.fullmatch(pattern, f"{arn}key/1234abcd-12ab-34cd-56ef-1234567890ab")
    assert re.fullmatch(pattern, f"{arn}key/mrk-1234abcd12ab34cd56ef1234567890ab")
    assert not re.fullmatch(pattern, f"{arn}alias/mine")  # a policy that names an alias allows nothing


@pytest.mark.parametrize("name", ["OpenAiSecretArn", "DatabaseAdminSecretArn"])
def test_a_secret_is_named_by_its_whole_arn(name: str) -> None:
    """A policy is held against the ARN with the six characters that Secrets Manager adds to a secret's name."""
    pattern, arn = DOCUMENT["Parameters"][name]["AllowedPattern"], "arn:aws:secretsmanager:eu-central-1:111122223333"
    assert all(
        re.fullmatch(pattern, value) for value in ("", f"{arn}:secret:team/key-a1B2c3", f"{arn}:secret:rds!db-1-a1B2c3")
    )
    assert not any(re.fullmatch(pattern, value) for value in ("team/key", f"{arn}:secret:team/key"))


def test_an_existing_proxy_is_told_of_and_migrations_go_past_it() -> None:
    """Statements prepared on a proxied connection, and the lock of the migrations, tie it to one client.

    https://docs.aws.amazon.com/AmazonRDS/latest/UserGuide/rds-proxy-pinning.html
    """
    shared = DOCUMENT["Globals"]["Function"]["Environment"]["Variables"]
    assert shared["SPANDREL_DATABASE_PROXY"] == {"Ref": "DatabaseProxy"}
    own = FUNCTIONS["MigrateFunction"]["Environment"]["Variables"]
    instance, given = {"Ref": "DatabaseInstanceHost"}, {"Ref": "DatabaseHost"}
    assert own["SPANDREL_DATABASE_PROXY"] == "false"
    assert own["SPANDREL_DATABASE_HOST"]["Fn::If"][2] == {"Fn::If": ["HasInstanceHost", instance, given]}
    [demanded] = DOCUMENT["Rules"]["ExistingProxy"]["Assertions"]
    assert demanded["Assert"] == {"Fn::Not": [{"Fn::Equals": [instance, ""]}]}


def test_whoever_may_embed_or_ask_a_model_reads_the_provider_s_key() -> None:
    """A prompt is composed where a session begins and, once its variables are whole, where they are given: in `api`."""
    reads = {name for name, it in FUNCTIONS.items() if "ReadModelSecret" in refers(it["Policies"])}
    makes = {"Api", "ChatTurn", "DocumentIngest", "PromptGenerate", "SessionInit", "VectorSearch"}
    assert reads == {f"{name}Function" for name in makes}


_PURGE = {"s3:DeleteObject", "s3:DeleteObjectVersion", "s3:ListBucketVersions"}
_POST = "execute-api:ManageConnections"


@pytest.mark.parametrize(
    ("function", "used"),
    [
        # ListBucket beside GetObject: without it a missing object is answered as a forbidden one.
        ("Api", {*_PURGE, "s3:PutObject", "s3:GetObject", "s3:ListBucket", "sqs:SendMessage"}),
        ("ChatTurn", {_POST}),
        ("DocumentIngest", {*_PURGE, "s3:GetObject", "s3:GetObjectVersion", "s3:ListBucket", "sqs:SendMessage"}),
        ("EventBroadcast", {_POST}),
        ("HealthCheck", {*_PURGE, "s3:ListBucket", "sqs:SendMessage"}),
        ("KnowledgeUpkeep", _PURGE),
        ("Migrate", set()),
        ("PromptGenerate", set()),
        ("Realtime", {_POST, "sqs:SendMessage"}),
        ("SessionInit", {"sqs:SendMessage"}),
        ("VectorSearch", set()),
    ],
)
def test_a_function_may_do_what_it_does_and_no_more(function: str, used: set[str]) -> None:
    assert actions(f"{function}Function") == used


def test_each_stack_of_an_account_has_its_own_metrics() -> None:
    """An alarm on a namespace that stacks share tells of the other's faults."""
    own = {"Fn::Sub": "Spandrel/${AWS::StackName}"}
    assert DOCUMENT["Globals"]["Function"]["Environment"]["Variables"]["POWERTOOLS_METRICS_NAMESPACE"] == own
    alarms = [it["Properties"] for it in RESOURCES.values() if it["Type"] == "AWS::CloudWatch::Alarm"]
    ours = [alarm["Namespace"] for alarm in alarms if not str(alarm["Namespace"]).startswith("AWS/")]
    assert ours
    assert all(namespace == own for namespace in ours)
    assert (
        r"Namespace=\"Spandrel/${AWS::StackName}\"" in RESOURCES["Dashboard"]["Properties"]["DashboardBody"]["Fn::Sub"]
    )


def test_a_stack_can_be_made_again_under_its_name() -> None:
    """What a function logs last arrives after its log group is gone, and Lambda would make the group again.

    The next stack of that name then fails because it exists. https://github.com/aws/aws-cdk/issues/31487
    """
    [statement] = statements("NoStrayLogs")
    assert (statement["Effect"], statement["Action"]) == ("Deny", "logs:CreateLogGroup")
    assert {name for name, it in FUNCTIONS.items() if "NoStrayLogs" not in refers(it["Policies"])} == set()
    groups = [it for it in RESOURCES.values() if it["Type"] == "AWS::Logs::LogGroup"]
    assert len(groups) == len(FUNCTIONS) + 1


@pytest.mark.parametrize("name", ["Bucket", "SecretsKey"])
def test_what_is_kept_is_not_left_behind_by_a_first_deployment_that_fails(name: str) -> None:
    """Each attempt would leave an empty bucket and a key that costs a dollar a month."""
    assert RESOURCES[name]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert RESOURCES[name]["UpdateReplacePolicy"] == "Retain"


def test_another_database_is_migrated_as_well() -> None:
    """A custom resource runs again when one of its properties changes, and a new host changes nothing of the layer."""
    given = RESOURCES["Migrations"]["Properties"]
    assert {"DatabasePort", "DatabaseName"} <= refers(given["Database"])
    assert {"Database", "DatabaseHost", "DatabaseInstanceHost"} <= refers(given["Database"])
    assert {"EmbeddingModel", "EmbeddingDimensions"} <= refers(given["EmbeddingSpace"])


def test_an_existing_database_can_let_the_functions_in_before_there_is_a_stack() -> None:
    """Migrations run in the first deployment: a security group that it makes itself is let in too late."""
    given, made = {"Ref": "FunctionSecurityGroupId"}, {"Ref": "FunctionSecurityGroup"}
    network = DOCUMENT["Globals"]["Function"]["VpcConfig"]["Fn::If"][1]
    assert network["SecurityGroupIds"] == [{"Fn::If": ["CreateFunctionSecurityGroup", made, given]}]
    assert RESOURCES["FunctionSecurityGroup"]["Condition"] == "CreateFunctionSecurityGroup"
    conditional = {"Fn::If": ["CreateFunctionSecurityGroup", made, given]}
    [rule] = RESOURCES["DatabaseSecurityGroup"]["Properties"]["SecurityGroupIngress"]
    assert rule["SourceSecurityGroupId"] == conditional


def test_functions_wait_for_a_proxy_that_has_its_database() -> None:
    assert "DatabaseProxyTarget" in refers(RESOURCES["Migrations"]["Properties"])


def test_a_turn_that_is_being_answered_is_no_turn_that_waits() -> None:
    """A message's age counts until it is deleted, while it is worked on as well.

    https://docs.aws.amazon.com/AWSSimpleQueueService/latest/SQSDeveloperGuide/sqs-available-cloudwatch-metrics.html
    """
    for queue, function in {"Turn": "ChatTurn", "Document": "DocumentIngest"}.items():
        threshold = RESOURCES[f"{queue}QueueAgeAlarm"]["Properties"]["Threshold"]
        assert threshold > FUNCTIONS[f"{function}Function"]["Timeout"]


def test_the_database_does_not_log_what_users_wrote() -> None:
    """Postgres logs the values that a statement was given beside it."""
    parameters = RESOURCES["DatabaseParameters"]["Properties"]["Parameters"]
    assert parameters["log_min_duration_statement"] == "-1"
    assert "log_statement" not in parameters


def test_a_full_disk_is_told_of_before_it_is_full() -> None:
    """The disk grows by itself, but once in six hours and to an end; when it is full, the database stops."""
    alarm = RESOURCES["DatabaseStorageAlarm"]
    assert (alarm["Condition"], alarm["Properties"]["MetricName"]) == ("CreateDatabase", "FreeStorageSpace")
    assert alarm["Properties"]["ComparisonOperator"] == "LessThanThreshold"


def test_a_network_has_room_for_its_subnets() -> None:
    """Four of 256 addresses are cut from it; VPCs have 16 bits to 28."""
    pattern = DOCUMENT["Parameters"]["VpcCidr"]["AllowedPattern"]
    assert all(re.fullmatch(pattern, cidr) for cidr in ("10.60.0.0/16", "192.168.4.0/22"))
    assert not any(re.fullmatch(pattern, cidr) for cidr in ("10.0.0.0/8", "10.0.0.0/24", "10.0.0.0"))
