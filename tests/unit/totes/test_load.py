import json
import threading

import pytest

from tests.pipeline import Pipeline
from totes.batch_log import entry
from totes.errors import CorruptObject
from totes.load import LoadResult
from totes.warehouse import lock
