"""Keeping a provider's workers, and answering what they text."""

from service.staff.operations.rotation import rotate_workers
from service.staff.operations.workers import add_worker, list_workers, new_pin, remove_worker, unlock_worker

__all__ = ["add_worker", "list_workers", "new_pin", "remove_worker", "rotate_workers", "unlock_worker"]
