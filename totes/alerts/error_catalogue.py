"""Says what each error means and what to do about it: the pipeline's own errors, Lambda's and Step Functions'."""

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
# The errors of Lambda's Invoke, by what to do. _SET_UP also has those of features that this project does not use.
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
    "SourceLagging": ("totesys was a standby with older data than the last batch.", _WAIT),
    "WarehouseUnreachable": (f"The warehouse {_UNREACHABLE}", _WAIT),
    "WarehouseBusy": (f"The warehouse {_BUSY}", _WAIT),
    "LakeUnavailable": ("S3 or Secrets Manager throttled requests or failed, several times.", _WAIT),
    "BatchContended": ("Other executions committed the same batch first, several times in a row.", _WAIT),
    "InputRefused": ("The execution was started with an invalid input.", "Start it with {}."),
    "SettingsInvalid": ("Part of the function's configuration is missing or invalid.", "Deploy again."),
    "AccessDenied": (
        "A database, a pooler or AWS refused access, or a database server did not prove its identity.",
        "Correct what the message names.",
    ),
    "LogBroken": ("A log of batches has a gap, or two logs contradict each other.", "Read the message."),
    "ObjectMissing": ("A file that a batch needs is missing from the lake.", "Restore it."),
    "CorruptObject": (
        "A file in the lake has changed since it was written.",
        "Restore the first versions of the file and of its manifest.",
    ),
    "VersionUnknown": (
        "A newer release of the pipeline has already written to the lake or the warehouse.",
        "Deploy the newer release.",
    ),
    "ContractInvalid": (
        "The declarations in schemas/ are wrong, or the warehouse does not match them.",
        "Correct them and deploy.",
    ),
    "DeletionsHeld": (
        "More rows have disappeared from totesys than the pipeline deletes without confirmation.",
        "Check whether they were removed on purpose. If so, start an execution that accepts the deletions.",
    ),
    "BackfillOutdated": (
        "totesys or the landing zone changed after the backfill was planned.",
        "Pause the schedule, and start another backfill.",
    ),
    "DiskFull": (
        "A batch did not fit on the function's disk.",
        "Raise ephemeralStorageSize in serverless.yml and deploy.",
    ),
    "DatabaseFailed": ("A database returned an error that the pipeline does not know.", "Read the message."),
    "UnexpectedError": ("An unexpected error: most likely a bug.", "Read the stack trace in the log."),
    "ContractViolation": (
        "The data does not match its declaration in schemas/.",
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
        "AWS Lambda throttled the function: too many functions were running in the account.",
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
            "AWS Lambda refused to run the function because of its configuration.",
            "Read the message, correct what it names, and deploy again.",
        ),
    ),
    "States.DataLimitExceeded": ("A result was too large for Step Functions.", "Report this: it is a bug."),
    "States.Runtime": (
        "The state machine's definition is wrong.",
        "Deploy the previous release, and report this: it is a bug.",
    ),
    TIMED_OUT: (
        "The whole execution ran out of time.",
        "Nothing, if the next execution succeeds: it resumes where this one stopped. If it happens again, check in "
        "the log how long each batch takes.",
    ),
    ABORTED: (
        "Somebody stopped the execution.",
        "Nothing, if that was intended: the next execution resumes where this one stopped. If not, look in CloudTrail: "
        "the event StopExecution names the person.",
    ),
}
_STRANGE = (
    "The execution failed with an error that the pipeline does not know.",
    "Read the cause, and correct what it names; the next execution tries again.",
)


# Release 0.1's names of errors, which executions from before an upgrade have.
_FORMER = {"ContractBroken": "ContractViolation", "AccessRefused": "AccessDenied", "Unforeseen": "UnexpectedError"}


def meaning(error: str) -> tuple[str, str]:
    """Returns an error's meaning in one sentence, and the remedy to show if the error itself names none."""
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
