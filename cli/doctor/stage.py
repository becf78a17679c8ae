"""The stage that is looked at, and what its checkout declares of it."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from totes.runtime.names import LOCAL, SERVICE

if TYPE_CHECKING:
    from local.aws.deployment import Deployment
    from totes.runtime.names import Names

DEPLOY = "Deploy again: `npx sls deploy --stage {stage}`."


class Stage:
    """One stage, whose parts are asked by its names."""

    def __init__(self, names: "Names") -> None:
        self.names = names

    @property
    def stack(self) -> str:
        """The stack in CloudFormation."""
        return f"{SERVICE}-{self.names.stage}"

    @property
    def is_local(self) -> bool:
        return self.names.stage == LOCAL

    @property
    def totes(self) -> str:
        """How a command for this stage begins."""
        return "totes" if self.is_local else f"totes --stage {self.names.stage}"

    @property
    def deploy(self) -> str:
        """The remedy if something is not as it was deployed."""
        return DEPLOY.format(stage=self.names.stage)

    @cached_property
    def deployment(self) -> "Deployment":
        """What serverless.yml of this checkout declares."""
        from local.aws.deployment import Deployment

        return Deployment(self.names.stage)

    def declared(self, kind: str) -> list[dict[str, Any]]:
        """The properties of all resources of a type that are declared without a condition."""
        return [found["Properties"] for found in self._resources if found["Type"] == kind and "Condition" not in found]

    @cached_property
    def _resources(self) -> list[dict[str, Any]]:
        return list(self.deployment.resources().values())
