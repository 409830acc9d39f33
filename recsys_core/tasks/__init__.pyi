from .classes import ClassAdapter, ClassConfig, fit_classes

__all__ = ["ClassAdapter", "ClassConfig", "fit_classes"]
