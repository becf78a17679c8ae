"""Creates a stack's resource that moto's CloudFormation lacks, or creates with half of its properties.

It is created through the service's own API, which moto implements well, as CloudFormation does it.
"""

from typing import Any, Self

import boto3


class ApiResource:
    """One resource of a stack, in the form of moto's CloudFormation.

    Attributes:
        service: the service whose API creates it.
        physical_resource_id: the value of `Ref`.
        attributes: the values of `Fn::GetAtt`, by name.
    """

    service = ""

    def __init__(self, name: str, region: str) -> None:
        make_client: Any = boto3.client  # boto3's type only takes literal names
        self.api = make_client(self.service, region_name=region)
        self.region = region
        self.physical_resource_id = name
        self.attributes: dict[str, str] = {}

    def put(self, properties: dict[str, Any]) -> None:
        """Creates the resource, or gives an existing one these properties."""
        raise NotImplementedError

    def remove(self) -> None:
        """Deletes the resource; a resource that is deleted with its owner needs nothing here."""

    @classmethod
    def create_from_cloudformation_json(
        cls, resource_name: str, cloudformation_json: dict[str, Any], _account: str, region: str, **_: Any
    ) -> Self:
        resource = cls(resource_name, region)
        resource.put(cloudformation_json["Properties"])
        return resource

    @classmethod
    def update_from_cloudformation_json(
        cls, original_resource: Self, cloudformation_json: dict[str, Any], **_: Any
    ) -> Self:
        original_resource.put(cloudformation_json["Properties"])
        return original_resource

    def delete(self, _account: str, _region: str) -> None:
        self.remove()

    def get_cfn_attribute(self, name: str) -> str:
        return self.attributes[name]

    @classmethod
    def has_cfn_attr(cls, _name: str) -> bool:
        return True

    def is_created(self) -> bool:
        return True
