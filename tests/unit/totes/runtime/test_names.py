from totes.runtime.names import FUNCTIONS, STAGES, Names, names_of_execution

NAMES = Names("production", "123456789012", "eu-west-2")


def test_names_follow_from_stage_account_and_region() -> None:
    assert NAMES.state_machine == "totes-production-pipeline"
    assert NAMES.state_machine_arn == "arn:aws:states:eu-west-2:123456789012:stateMachine:totes-production-pipeline"
    assert NAMES.function_arn("load") == "arn:aws:lambda:eu-west-2:123456789012:function:totes-production-load"
    assert NAMES.topic_arn == "arn:aws:sns:eu-west-2:123456789012:totes-production-alerts"
    assert (NAMES.source_secret, NAMES.warehouse_secret) == ("totes/production/source", "totes/production/warehouse")
    assert NAMES.rule == "totes-production-schedule"


def test_buckets_bear_the_account_and_fit_s3() -> None:
    buckets = {NAMES.landing_bucket, NAMES.processed_bucket}
    assert buckets == {"totes-production-landing-123456789012", "totes-production-processed-123456789012"}
    assert all(len(bucket) <= 63 for bucket in buckets)


def test_stages_share_no_name() -> None:
    def names(stage: str) -> set[str]:
        made = Names(stage, "123456789012", "eu-west-2")
        properties = {name for name, value in vars(Names).items() if isinstance(value, property)}
        return {getattr(made, name) for name in properties} | {made.function(name) for name in FUNCTIONS}

    assert not names("dev") & names("production")


def test_names_are_known_from_an_execution() -> None:
    arn = "arn:aws:states:eu-west-2:123456789012:execution:totes-production-pipeline:manual-1"
    assert names_of_execution(arn) == NAMES


def test_functions_are_named_after_their_states() -> None:
    assert FUNCTIONS[: len(STAGES)] == tuple(stage.lower() for stage in STAGES)
