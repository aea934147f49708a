"""Defaults and profiles from ``hvdsm.toml``, and hyperparameters from files; :mod:`hvdsm.cli.defaults` applies them."""

from __future__ import annotations

from hvdsm.settings.hyperparameters import merge_hyperparameters, read_hyperparameters

__all__ = ["merge_hyperparameters", "read_hyperparameters"]
