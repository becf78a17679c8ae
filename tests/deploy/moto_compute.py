"""Creates the functions, their layer and the state machine, which moto's CloudFormation creates incompletely."""

import contextlib
from typing import Any

from tests.deploy.api_resource import ApiResource


class LayerVersion(ApiResource):
    """moto drops the architecture, and keeps the old version when a stack should only have the new one."""

    service = "lambda"

    def put(self, properties: dict[str, Any]) -> None:
        outdated = self.physical_resource_id
        self.physical_resource_id = self.api.publish_layer_version(**properties)["LayerVersionArn"]
        if outdated.startswith("arn:"):
            self._delete_version(outdated)

    def remove(self) -> None:
        self._delete_version(self.physical_resource_id)

    def _delete_version(self, arn: str) -> None:
        name, _, version = arn.rpartition(":")
        self.api.delete_layer_version(LayerName=name.rpartition(":")[2], VersionNumber=int(version))


class Function(ApiResource):
    """Keeps layers, tracing, architecture and ephemeral storage. moto drops them, and most of them in an update."""

    service = "lambda"

    def put(self, properties: dict[str, Any]) -> None:
        if self.attributes:
            self.remove()
        tags = {tag["Key"]: tag["Value"] for tag in properties.get("Tags", [])}
        created = self.api.create_function(**properties | {"Tags": tags})
        self.physical_resource_id = created["FunctionName"]
        self.attributes["Arn"] = created["FunctionArn"]

    def remove(self) -> None:
        self.api.delete_function(FunctionName=self.physical_resource_id)


class EventInvokeConfig(ApiResource):
    """moto's CloudFormation lacks it."""

    service = "lambda"

    def put(self, properties: dict[str, Any]) -> None:
        self.physical_resource_id = properties["FunctionName"]
        self.api.put_function_event_invoke_config(**properties)

    def remove(self) -> None:
        # moto deletes in any order; the configuration is deleted with the function.
        with contextlib.suppress(self.api.exceptions.ResourceNotFoundException):
            self.api.delete_function_event_invoke_config(FunctionName=self.physical_resource_id)


class StateMachine(ApiResource):
    """moto creates it, but nothing can run it."""

    service = "stepfunctions"

    def put(self, properties: dict[str, Any]) -> None:
        definition: dict[str, Any] = {
            "definition": properties["DefinitionString"],
            "roleArn": properties["RoleArn"],
            "tracingConfiguration": {"enabled": properties["TracingConfiguration"]["Enabled"]},
        }
        if logging := properties.get("LoggingConfiguration"):
            definition["loggingConfiguration"] = _logging(logging)
        if self.attributes:
            self.api.update_state_machine(stateMachineArn=self.physical_resource_id, **definition)
            return
        self.attributes["Name"] = properties["StateMachineName"]
        created = self.api.create_state_machine(name=properties["StateMachineName"], **definition)
        self.physical_resource_id = created["stateMachineArn"]

    def remove(self) -> None:
        self.api.delete_state_machine(stateMachineArn=self.physical_resource_id)


def _logging(properties: dict[str, Any]) -> dict[str, Any]:
    """Renames keys to the API's: they differ from the template's only in the first letter's case."""
    groups = [destination["CloudWatchLogsLogGroup"]["LogGroupArn"] for destination in properties["Destinations"]]
    return {
        "level": properties["Level"],
        "includeExecutionData": properties["IncludeExecutionData"],
        "destinations": [{"cloudWatchLogsLogGroup": {"logGroupArn": group}} for group in groups],
    }
