"""The handlers, one module for each function."""

# While a function starts it has a whole processor. totes.runtime.aws imports the SDK with the first client only.
import boto3  # noqa: F401
