"""The models.yaml that the services read: of what is embedded, of `--provider` names, or a file of the user's."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace_llm import models_file
from headrace_llm.errors import InvalidRegistry
from headrace_llm.registry import Limits, ModelEntry, Price, Registry
from pydantic import ValidationError

from headrace_cli.embedded import model, simulator
from headrace_cli.errors import CliError

LOCAL_KEY_VARIABLE = "HEADRACE_LOCAL_MODEL_KEY"
"""The embedded model wants no key; a variable of its own keeps a real provider's key from being sent to it."""
LOCAL_TIMEOUT_S = 120.0
CAREFUL_RPM = 60.0
"""The pace at which a provider is asked whose quota nobody has named: the smallest that is usual."""
OWN_SERVERS = frozenset(
    {"ollama", "ollama_chat", "lm_studio", "llamafile", "hosted_vllm", "xinference", "docker_model_runner"}
)
"""LiteLLM's providers that run on a machine of one's own and have no quota."""
SIMULATED_CONTEXT_TOKENS = 32768
SIMULATED_PRICE = Price(prompt_usd_per_million=1.6, completion_usd_per_million=6.4)
"""So that money is counted as with a provider of the usual price."""


@dataclass(frozen=True, slots=True)
class Source:
    """Where the registry comes from."""

    local: bool
    """Whether the embedded model is started; `text` is then made when its port is known."""
    names: tuple[str, ...]
    """Registry ids, the default first."""
    text: str = ""
    """The models.yaml."""
    simulated_rpm: float | None = None
    """The quota of the simulated provider; with it that one is started, and `text` made when its port is known."""


LOCAL = Source(local=True, names=(model.NAME,))


def simulated(rpm: float) -> Source:
    """The simulated provider, which grants `rpm` requests a minute, each second its share."""
    return Source(local=False, names=(simulator.NAME,), simulated_rpm=rpm)


def of_names(names: Sequence[str], *, rpm: float | None = None) -> Source:
    """A registry of bare LiteLLM names, the first the default. Raises `CliError` for what cannot be one.

    Without `rpm`, a remote provider is asked carefully, and more as far as it grants that; one's own server is not paced.
    """
    entries = []
    for name in names:
        own = name.partition("/")[0] in OWN_SERVERS
        limits = Limits(rpm=rpm) if rpm else Limits() if own else Limits(rpm=CAREFUL_RPM, probe=True)
        try:
            entries.append(ModelEntry(id=name, model=name, limits=limits))
        except ValidationError as error:
            raise CliError(
                f"{name!r} is not a model name", hint="write PROVIDER/MODEL, such as dashscope/qwen-max"
            ) from error
    return Source(local=False, names=tuple(names), text=models_file.dump(Registry.of(entries)))


def of_file(path: Path) -> Source:
    """A models.yaml of the user's. Raises `CliError` with every fault that it has."""
    try:
        text = path.read_text(encoding="utf-8")
        registry = models_file.parse(text, source=str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise CliError(f"{path} cannot be read: {error}") from error
    except InvalidRegistry as error:
        raise CliError(f"{path} is not a models file", hint=str(error)) from error
    others = (name for name in registry.models if name != registry.default)
    return Source(local=False, names=(registry.default, *others), text=text)


def write(source: Source, path: Path, *, local_url: str) -> Path:
    """Write the models.yaml for the services and return its path; `local_url` is the API of what is embedded."""
    text = source.text
    if source.local:
        text = models_file.dump(_local(local_url))
    elif source.simulated_rpm is not None:
        text = models_file.dump(_simulated(local_url, source.simulated_rpm))
    path.touch(mode=0o600)
    path.write_text(text, encoding="utf-8")
    return path


def _local(url: str) -> Registry:
    entry = ModelEntry(
        id=model.NAME,
        model=f"openai/{model.NAME}",
        api_base=url,
        api_key_env=LOCAL_KEY_VARIABLE,
        context_tokens=model.CONTEXT_TOKENS,
        max_output_tokens=model.MAX_OUTPUT_TOKENS,
        timeout_s=LOCAL_TIMEOUT_S,
        structured="schema",
    )
    return Registry.of([entry])


def _simulated(url: str, rpm: float) -> Registry:
    entry = ModelEntry(
        id=simulator.NAME,
        model=f"openai/{simulator.NAME}",
        api_base=url,
        api_key_env=LOCAL_KEY_VARIABLE,
        context_tokens=SIMULATED_CONTEXT_TOKENS,
        price=SIMULATED_PRICE,
        limits=Limits(rpm=rpm),
        structured="schema",
    )
    return Registry.of([entry])
