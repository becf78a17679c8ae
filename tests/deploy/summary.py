"""The summary at the end of the tests."""

# Sizes and times that the tests have measured.
MEASURED: list[str] = []

# The limits of a deployment into moto, each with a way to check it in a real account.
UNPROVEN = (
    (
        "IAM: moto lets every role do everything; tests/unit/infrastructure hold the policies against the code",
        "npx sls deploy --stage dev, then one execution with data: every action of every role is used by it",
    ),
    (
        "the buckets' conditions: TLS only, nothing overwritten",
        "aws s3api put-object --bucket totes-dev-landing-<account> --key data/drill --body README.md: AccessDenied; "
        "with --if-none-match '*' it is accepted once",
    ),
    (
        "EventBridge: that the rule fires, that a start which fails reaches the queue and its alarm",
        "aws stepfunctions list-executions, ten minutes after the deployment: two or three; then detach the policy of "
        "ScheduleRole for half an hour and wait for the mail",
    ),
    (
        "alarms: that they change state, and that the topic's key and policy let them publish",
        "aws cloudwatch set-alarm-state --alarm-name totes-dev-watch --state-value ALARM --state-reason x: a mail",
    ),
    (
        "mail: that the subscription is confirmed and the mail arrives",
        "totes --stage dev doctor; the mail of the alarm above, and the one of a failure: put a wrong password into "
        "totes/dev/warehouse",
    ),
    (
        "the layer for arm64: what ran here was built for this machine by the same pip, arguments and patterns",
        "aws lambda invoke --function-name totes-dev-transform --payload '{}' /dev/stdout",
    ),
    (
        "Lambda's limits: 262 MB unzipped, 4 GB of /tmp, 1769 MB of memory, 300 s",
        "the deployment itself; then the REPORT line of the first full run in /aws/lambda/totes-dev-ingest",
    ),
    (
        "the dashboard: that CloudWatch draws it, moto keeps its text only",
        "the output Dashboard, in a browser, after a day of executions: no widget is empty but those of failures",
    ),
    (
        "Athena: that its tables show all batches, and what its views say",
        "docs/lake.md#athena: the views, then the query that counts batches",
    ),
    ("X-Ray: that traces arrive", "the trace map of one execution in the console of CloudWatch"),
    (
        "lifecycle and log retention: moto keeps the rules and does nothing",
        "aws s3api head-object of a batch after 31 days: StorageClass INTELLIGENT_TIERING",
    ),
    (
        "CloudFormation: its own checks, its roll-back of a failed update, what it replaces, the budget",
        "npx sls deploy --stage scratch in an empty account, then with a change, then npx sls remove --stage scratch",
    ),
    (
        "the network: a VPC's routes, RDS's security groups, TLS to the databases",
        "totes --stage dev doctor, with the secrets set and sslmode verify-full in both",
    ),
)
