"""The settings of the process: from its arguments, the environment (HEADRACE_SIMULATOR_…), a profile file."""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from headrace_simulator.profile import Profile

PREFIX = "HEADRACE_SIMULATOR_"


class InvalidSettings(Exception):
    """The settings cannot be used. The message has one line for each fault."""


class Settings(BaseSettings, Profile):
    """A `Profile` and where it is served."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, allow_inf_nan=False
    )

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8090
    """0 is any free one."""

    @property
    def profile(self) -> Profile:
        """What is simulated."""
        return Profile.model_validate({name: getattr(self, name) for name in Profile.model_fields})

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment before what is given: that is the file."""
        return env_settings, init_settings


def load(file: Path | None, **arguments: Any) -> Settings:
    """Read the settings; arguments that are None are not given. Raises `InvalidSettings`."""
    try:
        settings = Settings(**_read(file))
        given = {name: value for name, value in arguments.items() if value is not None}
        return settings.model_copy(update=given)
    except ValidationError as error:
        lines = (f"{_place(one['loc'])}: {one['msg']} (got {one.get('input')!r})"[:500] for one in error.errors())
        raise InvalidSettings("\n".join(lines)) from error


def _place(path: tuple[int | str, ...]) -> str:
    dotted = ".".join(map(str, path))
    return f"{dotted or 'settings'} (or {PREFIX}{'__'.join(map(str, path)).upper()})"


def _read(file: Path | None) -> dict[str, Any]:
    if file is None:
        return {}
    try:
        value = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidSettings(f"{file} cannot be read: {error}") from error
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise InvalidSettings(f"{file} must be a mapping of settings")
    return value
