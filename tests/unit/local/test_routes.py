from types import SimpleNamespace

from local import routes
from local.routes import emulator

ARN = "arn:aws:lambda:us-east-1:000000000000:function:spandrel-api"


def _operation(**more):
    uri = {"Fn::Sub": "arn:…/functions/${ApiFunction.Arn}/invocations"}
    return {"x-amazon-apigateway-integration": {"uri": uri}, **more}


class FakeApi:
    """Keeps what `import_routes` makes."""

    def __init__(self):
        self.routes = [{"RouteId": "old"}]
        self.integrations, self.cors = [], None

    def get_routes(self, **_):
        return {"Items": list(self.routes)}

    def delete_route(self, **_):
        self.routes.clear()

    def get_integrations(self, **_):
        return {"Items": []}

    def get_authorizers(self, **_):
        return {"Items": []}

    def create_authorizer(self, **given):
        self.authorizer = given
        return {"AuthorizerId": "auth"}

    def create_integration(self, **given):
        self.integrations.append(given)
        return {"IntegrationId": f"i{len(self.integrations)}"}

    def create_route(self, **given):
        self.routes.append({name: value for name, value in given.items() if name != "ApiId"})

    def update_api(self, **given):
        self.cors = given["CorsConfiguration"]


def test_routes_are_those_of_the_processed_template(monkeypatch):
    body = {
        "paths": {
            "/v1/{proxy+}": {"x-amazon-apigateway-any-method": _operation(security=[{"Jwt": []}])},
            "/v1/health": {"get": _operation(security=[{"NONE": []}]), "parameters": {}},
        },
        "x-amazon-apigateway-cors": {"allowOrigins": {"Ref": "AllowedOrigins"}, "maxAge": 600},
    }
    template = {"Resources": {"HttpApi": {"Type": "AWS::ApiGatewayV2::Api", "Properties": {"Body": body}}}}
    resources = [
        {
            "ResourceType": "AWS::Lambda::Function",
            "PhysicalResourceId": "spandrel-api",
            "LogicalResourceId": "ApiFunction",
        },
        {"ResourceType": "AWS::SQS::Queue", "PhysicalResourceId": "q", "LogicalResourceId": "Queue"},
    ]
    api = FakeApi()
    services = {
        "apigatewayv2": api,
        "cloudformation": SimpleNamespace(
            get_template=lambda **_: {"TemplateBody": template},
            describe_stack_resources=lambda **_: {"StackResources": resources},
        ),
        "lambda": SimpleNamespace(get_function_configuration=lambda **_: {"FunctionArn": ARN}),
    }
    monkeypatch.setattr(emulator, "client", lambda _config, name: services[name])

    keys = routes.import_routes(None, "api-id", {"JwtIssuer": "https://issuer", "UserPoolClientId": "client"})

    assert keys == ["ANY /v1/{proxy+}", "GET /v1/health"]
    assert len(api.integrations) == 1
    assert api.routes == [
        {
            "RouteKey": "ANY /v1/{proxy+}",
            "Target": "integrations/i1",
            "AuthorizationType": "JWT",
            "AuthorizerId": "auth",
        },
        {"RouteKey": "GET /v1/health", "Target": "integrations/i1"},
    ]
    assert api.authorizer["JwtConfiguration"] == {"Issuer": "https://issuer", "Audience": ["client"]}
    assert api.cors == {"AllowOrigins": ["*"], "MaxAge": 600}
