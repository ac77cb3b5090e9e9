"""Write the OpenAPI document of the shipped kinds into `docs/openapi.json`."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

from api import create_app
from jobs.handlers import SHIPPED
from settings import Settings
from tasks import catalog

FILE = Path(__file__).resolve().parent.parent / "docs" / "openapi.json"


def document() -> dict[str, Any]:
    """The document as `/openapi.json` has it with no other kinds; no server is asked."""
    catalog.load(SHIPPED)
    nowhere = Settings(
        database_url="postgresql+psycopg2://127.0.0.1:1/none",
        redis_url="redis://127.0.0.1:1",
        auth=False,
    )
    app = create_app(nowhere)
    found: dict[str, Any] = app.test_client().get("/openapi.json").get_json()
    return found


def written() -> str:
    return json.dumps(document(), indent=2, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    logging.disable()
    FILE.write_text(written())
