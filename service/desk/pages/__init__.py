"""The pages of the desk, in the order of its navigation."""

from service.desk.pages import actions, attention, decisions, imports, programmes, providers, vouchers
from service.web.pages import PageRoute

PAGES: tuple[PageRoute, ...] = (
    *decisions.PAGES,
    *vouchers.PAGES,
    *actions.PAGES,
    *attention.PAGES,
    *imports.PAGES,
    *programmes.PAGES,
    *providers.PAGES,
)

__all__ = ["PAGES"]
