"""`totes secret`: say how a database is reached, or change its password, without either being seen."""

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

# What Secrets Manager says of a secret that the deployment has made and nobody has filled.
_EMPTY = "ResourceNotFoundException"


def secret(
    context: typer.Context,
    which: Annotated[Literal["source", "warehouse"], typer.Argument(help="Whose credentials.")],
    *,
    host: Annotated[str | None, typer.Option(help="A host name or address.")] = None,
    port: Annotated[int | None, typer.Option(help="5432 unless told.", min=1, max=65535)] = None,
    dbname: Annotated[str | None, typer.Option(help="The database's name.")] = None,
    username: Annotated[str | None, typer.Option(help="Whom to log in as.")] = None,
    sslmode: Annotated[
        str | None, typer.Option(help=f"One of {', '.join(SSL_MODES)}; the last one if the secret has none.")
    ] = None,
    ca: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="The certificates of the authorities to trust, as PEM, in place of the system's and RDS's. An empty "
            "name takes them out of the secret.",
        ),
    ] = None,
    password: Annotated[
        str | None,
        typer.Option(
            envvar="TOTES_PASSWORD",
            show_envvar=True,
            metavar="TEXT",
            help="Asked for where it is not in the environment, so that neither history nor process list has it.",
        ),
    ] = None,
) -> None:
    """Write the credentials of a database into its secret; what is not given stays as it is.

    To rotate a password: change it in the database, then `totes secret warehouse`. No deployment, no restart: every
    execution reads the secret anew.
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
            f"{secret_id} names another secret, which has the login. Change that one, or deploy without its name: "
            "docs/deploy.md."
        )
    if ca == "":
        parts.pop("ca", None)
    # Nobody types a password only to learn that something else is wrong or missing.
    check_parts(secret_id, parts, [name for name in NEEDED if name != "password"])
    text = json.dumps(parts | {"password": _ask() if password is None else password})
    # Whatever is wrong is reported before anything is written.
    credentials = parse_credentials(secret_id, text)
    client.put_secret_value(SecretId=secret_id, SecretString=text)
    login = f"{credentials.username} at {credentials.host}:{credentials.port}, database {credentials.dbname}"
    screen().print(Text(f"{secret_id} is written: {login}. The next execution uses it."), soft_wrap=True)
    if weak := weakness(credentials):
        say_warning(f"{weak}. `--sslmode verify-full` is safe.")


def _certificates(file: str) -> str:
    """Reads a file of certificates.

    Raises:
        Misused: it is no text; it may be a certificate in another form.
        OSError: it can't be read.
    """
    try:
        return Path(file).read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise Misused(f"--ca: {file} is no PEM: `openssl x509 -inform der -in {file}` makes it so.") from None


def _ask() -> str:
    """Asks for the password, and does not show what is typed.

    Raises:
        Misused: there is no terminal, or what was typed is not UTF-8.
        Abort: the input ended.
    """
    if not sys.stdin.isatty():
        raise Misused("There is no terminal to ask on: set TOTES_PASSWORD.")
    try:
        answer: str = typer.prompt("Password", hide_input=True, err=True)
        answer.encode()
    except UnicodeError:
        # The error has the password in it. The cursor is still behind the prompt.
        typer.echo(err=True)
        raise Misused(
            "The password has bytes that are not UTF-8: set the terminal to UTF-8, and type it again."
        ) from None
    return answer


def _value(client: Any, secret_id: str) -> dict[str, Any]:
    """What the secret holds; nothing where it has no value yet.

    Raises:
        Misused: it holds something else than a JSON object, which is not for us to throw away.
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
        raise Misused(f"{secret_id} holds no JSON object: write it anew in Secrets Manager's console.")
    return found
