from .active import propose
from .adapt import ADAPTED, adapt_task, adapt_tasks
from .bundled import TASKS, TaskParts
from .classes import ClassAdapter, ClassConfig, fit_classes
from .item_attributes import extract_attributes
from .kinds import KINDS
from .labels import Kind, Product, clean_text, read_tasks

__all__ = [
    "ADAPTED", "KINDS", "TASKS", "ClassAdapter", "ClassConfig", "Kind", "Product", "TaskParts", "adapt_task", "adapt_tasks",
    "clean_text", "extract_attributes", "fit_classes", "propose", "read_tasks",
]
