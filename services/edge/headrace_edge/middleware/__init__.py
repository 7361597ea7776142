"""What every request passes before FastAPI sees it, as plain ASGI."""
