"""Names all resources, by stage, account and region.

serverless.yml gives the same names to the resources that it creates. So a command that knows only the stage finds them
all: there is no table to look up, and no output to copy.
"""

from dataclasses import dataclass

SERVICE = "totes"
# The stage on a laptop, which `totes` uses if it is given none.
LOCAL = "local"
# The stages have the names of the workflow's states. The other functions are for failures, and for backfills.
STAGES = ("Ingest", "Transform", "Load")
FUNCTIONS = (*(stage.lower() for stage in STAGES), "report", "fail", "watch", "backfill")


@dataclass(frozen=True)
class Names:
    """The names of one stage's resources.

    Args:
        stage: the stage's name, `local` for the stack on a laptop.
        account: the twelve digits of the AWS account.
        region: for instance `eu-west-2`.
    """

    stage: str
    account: str
    region: str

    @property
    def state_machine(self) -> str:
        return f"{SERVICE}-{self.stage}-pipeline"

    @property
    def backfill(self) -> str:
        """Returns the name of the state machine for backfills."""
        return f"{SERVICE}-{self.stage}-backfill"

    @property
    def backfill_arn(self) -> str:
        return f"arn:aws:states:{self.region}:{self.account}:stateMachine:{self.backfill}"

    @property
    def state_machine_arn(self) -> str:
        return f"arn:aws:states:{self.region}:{self.account}:stateMachine:{self.state_machine}"

    def function(self, name: str) -> str:
        """Returns the name of the Lambda function that runs `functions/<name>.py`."""
        return f"{SERVICE}-{self.stage}-{name}"

    def function_arn(self, name: str) -> str:
        return f"arn:aws:lambda:{self.region}:{self.account}:function:{self.function(name)}"

    def log_group(self, name: str) -> str:
        """Returns the log group in which Lambda keeps a function's log."""
        return f"/aws/lambda/{self.function(name)}"

    @property
    def landing_bucket(self) -> str:
        return f"{SERVICE}-{self.stage}-landing-{self.account}"

    @property
    def processed_bucket(self) -> str:
        return f"{SERVICE}-{self.stage}-processed-{self.account}"

    @property
    def topic(self) -> str:
        return f"{SERVICE}-{self.stage}-alerts"

    @property
    def topic_arn(self) -> str:
        return f"arn:aws:sns:{self.region}:{self.account}:{self.topic}"

    @property
    def source_secret(self) -> str:
        return f"{SERVICE}/{self.stage}/source"

    @property
    def warehouse_secret(self) -> str:
        return f"{SERVICE}/{self.stage}/warehouse"

    @property
    def rule(self) -> str:
        return f"{SERVICE}-{self.stage}-schedule"

    @property
    def ended_rule(self) -> str:
        """Returns the name of the rule that calls Watch when an execution ends."""
        return f"{SERVICE}-{self.stage}-ended"

    @property
    def backfill_ended_rule(self) -> str:
        """Returns the name of the rule that calls Watch when a backfill ends."""
        return f"{SERVICE}-{self.stage}-backfill-ended"


def names_of_execution(arn: str) -> Names:
    """Returns the names of an execution's stage, given the execution's ARN."""
    _, _, _, region, account, _, machine, *_ = arn.split(":")
    return Names(machine.removeprefix(f"{SERVICE}-").removesuffix("-pipeline"), account, region)
