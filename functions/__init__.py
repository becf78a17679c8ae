"""The handlers of the Lambda functions, one module each."""
