"""`/docs`: Swagger UI from a wheel, so that the page needs no other host. Only the wheel's files are used."""

from importlib import util
from pathlib import Path

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

PATH = "/docs"
ASSETS = "/docs/assets"


def install(app: FastAPI) -> None:
    """Add the page and its files to an application whose own page is switched off."""
    spec = util.find_spec("fastapi_offline")
    if spec is None or spec.origin is None:
        raise RuntimeError("the wheel fastapi-offline is missing: install requirements.lock")
    html = get_swagger_ui_html(
        openapi_url=app.openapi_url or "",
        title=app.title,
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url="data:,",
    )

    async def page() -> HTMLResponse:
        return html

    app.add_api_route(PATH, page, include_in_schema=False)
    app.mount(ASSETS, StaticFiles(directory=Path(spec.origin).parent / "static"), name="docs-assets")
