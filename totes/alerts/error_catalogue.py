"""Says what each error means, and what to do about it: ours, Lambda's and those of Step Functions."""

from collections.abc import Mapping

TIMED_OUT, ABORTED = "TIMED_OUT", "ABORTED"

_UNREACHABLE = "could not be reached, dropped the connection, or refused the password."
_BUSY = "was locked, overloaded or too slow to answer."
_OUT_OF_TIME = "The function ran out of time."
_LAMBDA = "AWS Lambda could not run the function."
_WAIT = "Nothing, unless it lasts: the next execution resumes where this one stopped."
_MORE = (
    "Nothing, if the next execution succeeds. If it happens again, give the function more time or memory in "
    "serverless.yml and deploy."
)
# The errors of Lambda's Invoke, by what to do. Those of features that this project does not use are among the last.
_VPC = (
    "EC2ThrottledException",
    "EC2UnexpectedException",
    "ENILimitReachedException",
    "ENINotReadyException",
    "SubnetIPAddressLimitReachedException",
)
_NOT_READY = ("ResourceConflictException", "ResourceNotReadyException")
_SET_UP = (
    "ResourceNotFoundException",
    "EC2AccessDeniedException",
    "InvalidSecurityGroupIDException",
    "InvalidSubnetIDException",
    "KMSAccessDeniedException",
    "KMSDisabledException",
    "KMSInvalidStateException",
    "KMSNotFoundException",
    "InvalidRuntimeException",
    "InvalidZipFileException",
    "InvalidParameterValueException",
    "InvalidRequestContentException",
    "RequestTooLargeException",
    "SerializedRequestEntityTooLargeException",
    "UnsupportedMediaTypeException",
    "ServiceQuotaExceededException",
    "RecursiveInvocationException",
    "ModeNotSupportedException",
    "NoPublishedVersionException",
    "CodeArtifactUserDeletedException",
    "CodeArtifactUserFailedException",
    "CodeArtifactUserPendingException",
    "DurableExecutionAlreadyStartedException",
    "EFSIOException",
    "EFSMountConnectivityException",
    "EFSMountFailureException",
    "EFSMountTimeoutException",
    "RuntimeAliasDeletedException",
    "RuntimeVersionDeletedException",
    "S3FilesMountConnectivityException",
    "S3FilesMountFailureException",
    "S3FilesMountTimeoutException",
    "SnapStartException",
    "SnapStartNotReadyException",
    "SnapStartRegenerationFailureException",
    "SnapStartTimeoutException",
)
_NO_MEMORY = "The function ran out of memory."

CATALOGUE: Mapping[str, tuple[str, str]] = {
    "SourceUnreachable": (f"totesys {_UNREACHABLE}", _WAIT),
    "SourceBusy": (f"totesys {_BUSY}", _WAIT),
    "SourceLagging": ("totesys was a standby that lagged behind the last batch.", _WAIT),
    "WarehouseUnreachable": (f"The warehouse {_UNREACHABLE}", _WAIT),
    "WarehouseBusy": (f"The warehouse {_BUSY}", _WAIT),
    "LakeUnavailable": ("S3 or Secrets Manager throttled or failed several times.", _WAIT),
    "BatchContended": ("Other executions kept committing the batch that this one was making.", _WAIT),
    "InputRefused": ("The execution was started with an input that the pipeline does not know.", "Start it with {}."),
    "SettingsInvalid": ("The function lacks part of its configuration.", "Deploy again."),
    "AccessDenied": (
        "A database, a pooler or AWS did not let the pipeline in, or a database's server did not prove who it is.",
        "Correct what the message names.",
    ),
    "LogBroken": ("The log of a zone has a gap, or two logs contradict each other.", "Read the message."),
    "ObjectMissing": ("A file that the log names is not in the lake.", "Restore it."),
    "CorruptObject": (
        "A file in the lake is not what was written there.",
        "Restore its first version and its manifest's.",
    ),
    "VersionUnknown": ("A newer release of the pipeline has been here before this one.", "Deploy the newer release."),
    "ContractInvalid": (
        "Declarations in schemas/ are wrong, or the warehouse is not as they say.",
        "Correct them and deploy.",
    ),
    "DeletionsHeld": (
        "More rows of totesys are gone than the pipeline deletes without confirmation.",
        "Check whether they were removed on purpose. If so, start an execution that accepts the deletions.",
    ),
    "BackfillOutdated": (
        "totesys or the landing zone changed after the backfill was planned.",
        "Pause the schedule, and start another backfill.",
    ),
    "DiskFull": (
        "A batch did not fit on the disk of the function that moves it.",
        "Raise ephemeralStorageSize in serverless.yml and deploy.",
    ),
    "DatabaseFailed": ("A database refused in a way that the pipeline does not know.", "Read the message."),
    "UnexpectedError": ("An unexpected error: most likely a bug.", "Read the stack trace in the log."),
    "ContractViolation": (
        "The data is not what its declaration in schemas/ says.",
        "Correct the rows, or the declaration.",
    ),
    "Sandbox.Timedout": (_OUT_OF_TIME, _MORE),
    "States.Timeout": (_OUT_OF_TIME, _MORE),
    "Runtime.OutOfMemory": (_NO_MEMORY, _MORE),
    "MemoryError": (_NO_MEMORY, _MORE),
    "Runtime.ExitError": ("The function ended without an answer: it ran out of memory, or it crashed.", _MORE),
    "Lambda.Unknown": ("The function ended without an answer.", _MORE),
    "Lambda.ClientExecutionTimeoutException": (_LAMBDA, _WAIT),
    "Lambda.ServiceException": (_LAMBDA, _WAIT),
    "Lambda.AWSLambdaException": (_LAMBDA, _WAIT),
    "Lambda.SdkClientException": (_LAMBDA, _WAIT),
    "Lambda.TooManyRequestsException": (
        "AWS Lambda throttled the function: the account runs too many at once.",
        "Nothing, unless it lasts: then ask AWS for a higher limit of concurrent executions.",
    ),
    **dict.fromkeys((f"Lambda.{name}" for name in _NOT_READY), (_LAMBDA, _WAIT)),
    **dict.fromkeys(
        (f"Lambda.{name}" for name in _VPC),
        (
            "AWS Lambda could not connect the function to your VPC.",
            "Nothing, unless it lasts: then give the function's subnets more addresses, or ask AWS for a higher limit.",
        ),
    ),
    **dict.fromkeys(
        (f"Lambda.{name}" for name in _SET_UP),
        (
            "AWS Lambda refused to run the function as it is set up.",
            "Read the message, correct what it names, and deploy again.",
        ),
    ),
    "States.DataLimitExceeded": ("A result was too large for Step Functions.", "Report it: this is a bug."),
    "States.Runtime": ("The workflow itself is at fault.", "Deploy the release before, and report it: this is a bug."),
    TIMED_OUT: (
        "The execution ran out of time as a whole.",
        "Nothing, if the next execution succeeds: it resumes where this one stopped. If it happens again, look at the "
        "log: how long does a batch take?",
    ),
    ABORTED: (
        "Somebody stopped the execution.",
        "Nothing, if it was meant: the next execution resumes where this one stopped. If it was not, CloudTrail's "
        "event StopExecution names who did it.",
    ),
}
_STRANGE = (
    "It failed with an error that the pipeline does not know.",
    "Read the cause, and correct what it names; the next execution tries again.",
)


# The names of release 0.1, which executions from before an upgrade have.
_FORMER = {"ContractBroken": "ContractViolation", "AccessRefused": "AccessDenied", "Unforeseen": "UnexpectedError"}


def meaning(error: str) -> tuple[str, str]:
    """Returns what an error means, in one sentence, and what to do if the error itself names no remedy."""
    return CATALOGUE.get(_FORMER.get(error, error), _STRANGE)


# Errors that share the runbook's section with another error.
_SHARES_A_SECTION = {
    "States.Timeout": "Sandbox.Timedout",
    "Lambda.Unknown": "Sandbox.Timedout",
    "States.DataLimitExceeded": "States.Runtime",
    **dict.fromkeys((error for error, (meant, _) in CATALOGUE.items() if meant == _LAMBDA), "Lambda.ServiceException"),
    "Lambda.TooManyRequestsException": "Lambda.ServiceException",
    **dict.fromkeys((f"Lambda.{name}" for name in _VPC), f"Lambda.{_VPC[0]}"),
    **dict.fromkeys((f"Lambda.{name}" for name in _SET_UP), f"Lambda.{_SET_UP[0]}"),
    "Runtime.OutOfMemory": "Runtime.ExitError",
    "MemoryError": "Runtime.ExitError",
}


def section(error: str) -> str:
    """Returns the heading of the runbook's section about an error."""
    return _SHARES_A_SECTION.get(error, _FORMER.get(error, error))
