"""Creates the HTTP API's routes through the API.

SAM emits an HTTP API as one OpenAPI document, which the emulator does not import: the API comes up without routes. So
the same document is read back from the processed template and its routes, integrations and authorizer made from it.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from local import emulator
from local.config import STACK_NAME

if TYPE_CHECKING:
    from local.config import Config

_FUNCTION = re.compile(r"\$\{(\w+)\.Arn\}")


def import_routes(config: Config, api_id: str, outputs: dict[str, str]) -> list[str]:
    """Makes the API's routes exactly those of the template; returns their keys. Running it again changes nothing."""
    api = emulator.client(config, "apigatewayv2")
    document = _document(config)
    _forget_routes(api, api_id)
    authorizer = api.create_authorizer(
        ApiId=api_id,
        Name="Jwt",
        AuthorizerType="JWT",
        IdentitySource=["$request.header.Authorization"],
        JwtConfiguration={"Issuer": outputs["JwtIssuer"], "Audience": [outputs["UserPoolClientId"]]},
    )["AuthorizerId"]
    functions, integrations, keys = _functions(config), dict[str, str](), list[str]()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            if "x-amazon-apigateway-integration" not in operation:
                continue
            arn = functions[_target(operation)]
            if arn not in integrations:
                integrations[arn] = _integration(api, api_id, arn)
            key = f"{'ANY' if method == 'x-amazon-apigateway-any-method' else method.upper()} {path}"
            guard = {"AuthorizationType": "JWT", "AuthorizerId": authorizer} if _guarded(operation) else {}
            api.create_route(ApiId=api_id, RouteKey=key, Target=f"integrations/{integrations[arn]}", **guard)
            keys.append(key)
    cors = document.get("x-amazon-apigateway-cors")
    if cors:
        api.update_api(ApiId=api_id, CorsConfiguration=_cors(cors))
    return sorted(keys)


def _document(config: Config) -> dict[str, Any]:
    formation = emulator.client(config, "cloudformation")
    body = formation.get_template(StackName=STACK_NAME, TemplateStage="Processed")["TemplateBody"]
    template = json.loads(body) if isinstance(body, str) else body
    for resource in template["Resources"].values():
        if resource["Type"] == "AWS::ApiGatewayV2::Api" and "Body" in resource["Properties"]:
            return dict(resource["Properties"]["Body"])
    raise LookupError("the processed template has no HTTP API")


def _forget_routes(api: Any, api_id: str) -> None:
    for route in api.get_routes(ApiId=api_id)["Items"]:
        api.delete_route(ApiId=api_id, RouteId=route["RouteId"])
    for integration in api.get_integrations(ApiId=api_id)["Items"]:
        api.delete_integration(ApiId=api_id, IntegrationId=integration["IntegrationId"])
    for authorizer in api.get_authorizers(ApiId=api_id)["Items"]:
        api.delete_authorizer(ApiId=api_id, AuthorizerId=authorizer["AuthorizerId"])


def _functions(config: Config) -> dict[str, str]:
    """Logical id -> ARN of the stack's functions."""
    formation, functions = emulator.client(config, "cloudformation"), emulator.client(config, "lambda")
    found: dict[str, str] = {}
    for resource in formation.describe_stack_resources(StackName=STACK_NAME)["StackResources"]:
        if resource["ResourceType"] == "AWS::Lambda::Function":
            name = resource["PhysicalResourceId"]
            arn = functions.get_function_configuration(FunctionName=name)["FunctionArn"]
            found[resource["LogicalResourceId"]] = arn
    return found


def _target(operation: dict[str, Any]) -> str:
    uri = json.dumps(operation["x-amazon-apigateway-integration"]["uri"])
    match = _FUNCTION.search(uri)
    if match is None:
        raise LookupError(f"no function in {uri}")
    return match[1]


def _guarded(operation: dict[str, Any]) -> bool:
    return any("NONE" not in requirement for requirement in operation.get("security", []))


def _integration(api: Any, api_id: str, arn: str) -> str:
    made = api.create_integration(
        ApiId=api_id,
        IntegrationType="AWS_PROXY",
        IntegrationUri=arn,
        IntegrationMethod="POST",
        PayloadFormatVersion="2.0",
    )
    return str(made["IntegrationId"])


def _cors(document: dict[str, Any]) -> dict[str, Any]:
    names = {"allowOrigins": "AllowOrigins", "allowMethods": "AllowMethods", "allowHeaders": "AllowHeaders"}
    names |= {"exposeHeaders": "ExposeHeaders", "maxAge": "MaxAge"}
    given = {names[key]: value for key, value in document.items() if key in names}
    if not isinstance(given.get("AllowOrigins"), list):
        given["AllowOrigins"] = ["*"]  # a parameter; locally it keeps its default
    return given
