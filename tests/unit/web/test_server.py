from http import HTTPStatus

import psutil
from flask import Flask
from werkzeug.test import create_environ

from web.app import HERE
from web.server import read_at_once


def test_file_is_closed_before_it_is_sent() -> None:
    app = Flask(__name__, static_folder=HERE / "static")
    heads: list[str] = []
    answer = read_at_once(app)(
        create_environ("/static/theme.css"), lambda status, _headers, _error=None: heads.append(status) or print
    )
    assert heads == [f"{HTTPStatus.OK} OK"]
    assert b"".join(answer) == (HERE / "static" / "theme.css").read_bytes()
    assert "theme.css" not in str(psutil.Process().open_files())
