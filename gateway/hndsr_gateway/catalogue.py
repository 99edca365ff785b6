"""The models as the backend last described them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from hndsr_gateway.backend import TileBackend
from hndsr_gateway.errors import ModelNotFoundError, UnavailableError
from hndsr_gateway.types import ModelDescription, OptionChoices

Revisions = dict[str, dict[str, ModelDescription]]
"""Models by name and revision, the preferred revision first."""


class Catalogue:
    """Knows what is served; empty while the backend does not answer.

    Args:
        backend: is asked.
        default_model: of requests that name none.
        chosen: options over the models' own defaults.
    """

    def __init__(self, backend: TileBackend, *, default_model: str, chosen: OptionChoices | None = None) -> None:
        self._backend, self._default_model = backend, default_model
        self._chosen = chosen or OptionChoices()
        self._models: Revisions = {}
        self._last: Revisions = {}
        """What was served when the backend last answered."""
        self._watchers: list[Callable[[], None]] = []

    async def refresh(self) -> None:
        """Ask the backend; forget everything if it cannot answer.

        Raises:
            UnavailableError: as the backend does.
        """
        try:
            described = await self._backend.describe()
        except UnavailableError:
            self.forget()
            raise
        else:
            self._learn(described)
        finally:
            for callback in self._watchers:
                callback()

    def watch(self, callback: Callable[[], None]) -> None:
        """Have a function called after every refresh, also one that failed."""
        self._watchers.append(callback)

    def forget(self) -> None:
        """Serve nothing until the next refresh."""
        self._models = {}

    @property
    def models(self) -> list[ModelDescription]:
        """All models, each in its preferred revision.

        Raises:
            UnavailableError: if there are none now.
        """
        return _preferred(self._models)

    @property
    def default_model(self) -> str:
        """The model of requests that name none: the configured one, or the only one there is."""
        return self._default_of(self.models)

    def find(self, name: str, revision: str = "") -> ModelDescription:
        """A model by name, the default one for an empty name.

        It is of the revision that is asked for if that is served, else of the preferred one.

        Raises:
            ModelNotFoundError: if it is not served.
            UnavailableError: if nothing is served now.
        """
        return self._find(self._models, name, revision)

    def recall(self, name: str) -> ModelDescription:
        """A model as it was served when the backend last answered, the default one for an empty name.

        Raises:
            ModelNotFoundError: if it was not served.
            UnavailableError: if nothing has been served yet.
        """
        return self._find(self._last, name)

    def _find(self, models: Revisions, name: str, revision: str = "") -> ModelDescription:
        preferred = {model.name: model for model in _preferred(models)}
        wanted = name or self._default_of(list(preferred.values()))
        if wanted not in preferred:
            raise ModelNotFoundError(name=wanted, served=list(preferred))
        return models[wanted].get(revision, preferred[wanted])

    def _default_of(self, models: Sequence[ModelDescription]) -> str:
        names = [model.name for model in models]
        return self._default_model if self._default_model in names or len(names) > 1 else names[0]

    def _learn(self, described: list[ModelDescription]) -> None:
        self._models = {}
        for model in described:
            self._models.setdefault(model.name, {})[model.revision] = replace(model, chosen=self._chosen)
        self._last = self._models


def _preferred(models: Revisions) -> list[ModelDescription]:
    if not models:
        raise UnavailableError
    return [next(iter(revisions.values())) for revisions in models.values()]
