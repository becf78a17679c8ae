"""`totes secret`: writes a database's address and login into its secret, without showing the password."""

import json
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from botocore.exceptions import ClientError
from rich.text import Text

from cli.deployment import target
from cli.errors import Misused
from cli.render.terminal import say_warning, screen
from totes.postgres.tls import weakness
from totes.runtime.secrets import MANAGED, NEEDED, SSL_MODES, check_parts, find_faults, parse_credentials

# Secrets Manager's error for a secret that has no value yet.
_EMPTY = "ResourceNotFoundException"


def secret(
    context: typer.Context,
    which: Annotated[Literal["source", "warehouse"], typer.Argument(help="Which database.")],
    *,
    host: Annotated[str | None, typer.Option(help="A host name or address.")] = None,
    port: Annotated[int | None, typer.Option(help="The port; 5432 if the secret has none.", min=1, max=65535)] = None,
    dbname: Annotated[str | None, typer.Option(help="The database's name.")] = None,
    username: Annotated[str | None, typer.Option(help="The user to log in as.")] = None,
    sslmode: Annotated[
        str | None, typer.Option(help=f"One of {', '.join(SSL_MODES)}; {SSL_MODES[-1]} if the secret has none.")
    ] = None,
    ca: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="A PEM file of trusted certificate authorities, in place of the system's and those of RDS. An empty "
            "name removes them from the secret.",
        ),
    ] = None,
    password: Annotated[
        str | None,
        typer.Option(
            envvar="TOTES_PASSWORD",
            show_envvar=True,
            metavar="TEXT",
            help="Better left out: without it and TOTES_PASSWORD, the command asks for the password, so that neither "
            "the shell's history nor the process list shows it.",
        ),
    ] = None,
) -> None:
    """Write a database's address and login into its secret. Options that you leave out keep their values.

    To rotate a password, change it in the database, then run `totes secret warehouse`. Every execution reads the
    secret again, so no deployment or restart is needed.
    """
    import boto3

    deployment = target(context)
    options = {"host": host, "port": port, "dbname": dbname, "username": username, "sslmode": sslmode}
    given = {name: value for name, value in options.items() if value is not None}
    if ca:
        given["ca"] = _certificates(ca)
    if faults := find_faults(given, given.keys() & set(NEEDED)):
        raise Misused(f"{'; '.join(f'--{fault}' for fault in faults)}.")
    names = deployment.connect()
    secret_id = names.source_secret if which == "source" else names.warehouse_secret
    client = boto3.client("secretsmanager")
    parts = _value(client, secret_id) | given
    if MANAGED in parts:
        raise Misused(
            f"{secret_id} names another secret, which has the login. Change that one, or deploy without its name: see "
            "docs/deploy.md."
        )
    if ca == "":
        parts.pop("ca", None)
    # Checks everything else before asking for the password.
    check_parts(secret_id, parts, [name for name in NEEDED if name != "password"])
    text = json.dumps(parts | {"password": _ask() if password is None else password})
    # Raises any error before writing.
    credentials = parse_credentials(secret_id, text)
    client.put_secret_value(SecretId=secret_id, SecretString=text)
    login = f"{credentials.username} at {credentials.host}:{credentials.port}, database {credentials.dbname}"
    screen().print(Text(f"{secret_id} is written: {login}. The next execution uses it."), soft_wrap=True)
    if weak := weakness(credentials):
        say_warning(f"{weak}. `--sslmode verify-full` is safe.")


def _certificates(file: str) -> str:
    """Reads a file of certificates.

    Raises:
        Misused: the file is not text, for instance a certificate in DER form.
        OSError: the file can't be read.
    """
    try:
        return Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Misused(f"--ca: {file} is not PEM: `openssl x509 -inform der -in {file}` converts it.") from None


def _ask() -> str:
    """Asks for the password without showing it.

    Raises:
        Misused: there is no terminal, or the input is not UTF-8.
        Abort: the input ended.
    """
    if not sys.stdin.isatty():
        raise Misused("There is no terminal to ask on. Set TOTES_PASSWORD.")
    try:
        answer: str = typer.prompt("Password", hide_input=True, err=True)
        answer.encode()
    except UnicodeError:
        # Hides the original error, which contains the password. Ends the prompt's line.
        typer.echo(err=True)
        raise Misused(
            "The password has bytes that are not UTF-8: set the terminal to UTF-8, and type it again."
        ) from None
    return answer


def _value(client: Any, secret_id: str) -> dict[str, Any]:
    """Reads the secret's value; empty if it has none yet.

    Raises:
        Misused: the value is not a JSON object, so the command refuses to overwrite it.
    """
    try:
        text = client.get_secret_value(SecretId=secret_id).get("SecretString", "")
    except ClientError as error:
        if error.response["Error"]["Code"] != _EMPTY:
            raise
        return {}
    try:
        found = json.loads(text)
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise Misused(f"{secret_id} is not a JSON object: correct it in Secrets Manager's console.")
    return found
