"""The stage to check, and the checkout's declarations for it."""

from functools import cached_property
from typing import TYPE_CHECKING, Any

from totes.runtime.names import LOCAL, SERVICE

if TYPE_CHECKING:
    from local.aws.deployment import Deployment
    from totes.runtime.names import Names

DEPLOY = "Deploy again: `npx sls deploy --stage {stage}`."


class Stage:
    """A stage: its resources' names and its declarations."""

    def __init__(self, names: "Names") -> None:
        self.names = names

    @property
    def stack(self) -> str:
        """Returns the CloudFormation stack's name."""
        return f"{SERVICE}-{self.names.stage}"

    @property
    def is_local(self) -> bool:
        return self.names.stage == LOCAL

    @property
    def totes(self) -> str:
        """Returns how a command line for this stage starts."""
        return "totes" if self.is_local else f"totes --stage {self.names.stage}"

    @property
    def deploy(self) -> str:
        """Returns the remedy for a difference from the deployment."""
        return DEPLOY.format(stage=self.names.stage)

    @cached_property
    def deployment(self) -> "Deployment":
        """Returns the declarations in this checkout's serverless.yml."""
        from local.aws.deployment import Deployment

        return Deployment(self.names.stage)

    def declared(self, kind: str) -> list[dict[str, Any]]:
        """Returns the properties of all resources of a type that have no condition."""
        return [found["Properties"] for found in self._resources if found["Type"] == kind and "Condition" not in found]

    @cached_property
    def _resources(self) -> list[dict[str, Any]]:
        return list(self.deployment.resources().values())
