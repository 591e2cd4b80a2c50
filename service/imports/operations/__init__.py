"""The use cases of imports. The caller wakes the worker after commit; the worker looks by itself, too."""

from service.imports.operations.granting import grant_next
from service.imports.operations.keeping import rotate_imports, sweep
from service.imports.operations.uploading import (
    Forecast,
    cancel,
    find_import,
    forecast,
    grant,
    list_imports,
    quiet_until,
    rejected_csv,
    upload,
)

__all__ = [
    "Forecast",
    "cancel",
    "find_import",
    "forecast",
    "grant",
    "grant_next",
    "list_imports",
    "quiet_until",
    "rejected_csv",
    "rotate_imports",
    "sweep",
    "upload",
]
