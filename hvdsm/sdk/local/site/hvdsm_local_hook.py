"""Changes the SageMaker SDK's local mode when it is imported, and nothing before: standard library only, for any interpreter.

This directory need not belong to an installed hvdsm; its modules find each other by their files.
"""

from __future__ import annotations

import os
import sys
from types import ModuleType
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

HERE = os.path.dirname(os.path.abspath(__file__))
_IMAGE, _CONTAINER = "hvdsm_local_image", "hvdsm_local_container"
# Modules of the SDKs that call Docker, and the module here that knows each.
TARGETS: Dict[str, str] = {
    "sagemaker.local.image": _IMAGE,
    "sagemaker.core.local.image": _IMAGE,
    "sagemaker.modules.local_core.local_container": _CONTAINER,
    "sagemaker.train.local.local_container": _CONTAINER,
    "sagemaker.core.modules.local_core.local_container": _CONTAINER,
}
# What uses them: a class and method by which local mode begins, and the module that must have been changed by then.
ENTRANCES: Dict[str, Tuple[str, str, str]] = {
    "sagemaker.local.local_session": ("LocalSession", "__init__", "sagemaker.local.image"),
    "sagemaker.core.local.local_session": ("LocalSession", "__init__", "sagemaker.core.local.image"),
    "sagemaker.train.model_trainer": ("ModelTrainer", "train", "sagemaker.train.local.local_container"),
    "sagemaker.modules.train.model_trainer": ("ModelTrainer", "train", "sagemaker.modules.local_core.local_container"),
}
_NONE = object()

# What was changed, to be put back: object, attribute, what it was.
_changed: List[Tuple[Any, str, Any]] = []
_served: Dict[str, bool] = {}


def enable() -> None:
    """Change the SDK's local mode, now where it is imported already, else when it will be; again: nothing."""
    if not any(type(finder).__name__ == _Finder.__name__ for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())
    for name in (*TARGETS, *ENTRANCES):
        module = sys.modules.get(name)
        if module is not None and getattr(getattr(module, "__spec__", None), "_initializing", False) is False:
            changed(module)


def disable() -> None:
    """Put everything back."""
    sys.meta_path[:] = [finder for finder in sys.meta_path if type(finder).__name__ != _Finder.__name__]
    while _changed:
        owner, name, before = _changed.pop()
        if before is _NONE:
            delattr(owner, name)
        else:
            setattr(owner, name, before)
    _served.clear()


def change(owner: Any, name: str, value: Any) -> None:
    """Set an attribute; :func:`disable` puts it back."""
    _changed.append((owner, name, vars(owner).get(name, _NONE)))
    setattr(owner, name, value)


def sibling(name: str) -> ModuleType:
    """A module of this directory, whether or not that is on sys.path."""
    if name not in sys.modules:
        from importlib.util import module_from_spec, spec_from_file_location

        spec = spec_from_file_location(name, os.path.join(HERE, name + ".py"))
        if spec is None or spec.loader is None:
            raise ImportError(name)
        module = module_from_spec(spec)
        sys.modules[name] = module
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
    return sys.modules[name]


def changed(module: ModuleType) -> None:
    """Change one of the SDK's modules; what cannot be changed is told of when local mode is used."""
    name = module.__name__
    if name in ENTRANCES:
        _watch(module, *ENTRANCES[name])
        return
    if _served.get(name) and getattr(module, "__hvdsm__", False):
        return
    try:
        sibling(TARGETS[name]).change(module, change)
        change(module, "__hvdsm__", True)
        _served[name] = True
    except Exception as error:
        _served[name] = False
        why = f"{type(error).__name__}: {error}"
        for holder in ("_SageMakerContainer", "_LocalContainer"):
            if isinstance(vars(module).get(holder), type):
                _warn_first(vars(module)[holder], "__init__", why)


def _watch(module: ModuleType, owner: str, method: str, needed: str) -> None:
    holder = vars(module).get(owner)
    if _served.get(needed) is None and isinstance(holder, type) and not getattr(module, "__hvdsm__", False):
        change(module, "__hvdsm__", True)
        _warn_first(holder, method, f"{needed} is not there")


def _is_local(holder: Any) -> bool:
    """Whether an object is about local mode: a trainer may be for the cloud."""
    mode = getattr(holder, "training_mode", None)
    return mode is None or "LOCAL" in str(mode)


def _warn_first(holder: Any, method: str, why: str) -> None:
    """Let a method say that local mode is the SDK's own, before it does what it did."""
    original: Optional[Callable[..., Any]] = getattr(holder, method, None)
    if original is None:
        return
    from functools import wraps

    @wraps(original)
    def warned(self: Any, *args: Any, **kwargs: Any) -> Any:
        if method == "__init__" or _is_local(self):
            import warnings

            version = getattr(sys.modules.get("sagemaker"), "__version__", "")
            warnings.warn(
                f"hvdsm does not know the local mode of this SageMaker SDK {version} ({why}): it runs on Docker, not on emulated "
                "hosts. What works with every version: hvdsm sandbox -- python SCRIPT with an instance type of the cloud "
                "(instance_type='ml.c5.xlarge')",
                RuntimeWarning,
                stacklevel=3,
            )
        return original(self, *args, **kwargs)

    change(holder, method, warned)


class _Finder:
    """Finds the SDK's modules as the other finders do, and has them changed once they are executed."""

    def find_spec(self, name: str, path: Optional[Sequence[str]] = None, target: Optional[ModuleType] = None) -> Any:
        if name not in TARGETS and name not in ENTRANCES:
            return None
        for finder in sys.meta_path:
            find = None if finder is self else getattr(finder, "find_spec", None)
            spec = None if find is None else find(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader)
                return spec
        return None


class _Loader:
    """Another loader, and a change of what it has executed."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: Any) -> Any:
        return self._loader.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        loader = self._loader
        module.__loader__ = loader
        if module.__spec__ is not None:
            module.__spec__.loader = loader
        # A reloaded module has new classes.
        vars(module).pop("__hvdsm__", None)
        loader.exec_module(module)
        changed(module)
